"""How a line of a file is named in an account."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A line, from 1; in a notebook of the cell with this number, from 1, or of none (0: the file's own line)."""

    cell: int
    line: int
