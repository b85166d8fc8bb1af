"""The code cells of a notebook (nbformat 4), each with the places of its source in the text.

A source is a JSON string, or a list of strings, as a rule one for each line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from porter.changes import Change
from porter.documents.document import CannotPort
from porter.documents.json_places import Place, changed_string, places, string_lines

_TYPES = {dict: "an object", list: "a list", str: "a string", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class CodeCell:
    """A code cell. `number` counts all cells from 1."""

    number: int
    source: CellSource


def code_cells(text: str) -> list[CodeCell]:
    """None for a notebook in another language than Python. Raises CannotPort if the text is no notebook."""
    notebook = _loaded(text)
    cells = _checked(notebook)
    if not _is_python(notebook):
        return []
    where = _sources(text)
    return [
        CodeCell(index + 1, _located(cell["source"], where[index]))
        for index, cell in enumerate(cells)
        if cell["cell_type"] == "code"
    ]


def _loaded(text: str) -> dict[str, Any]:
    try:
        notebook = json.loads(text, parse_int=float)  # an int of thousands of digits is refused
    except json.JSONDecodeError as error:
        raise CannotPort(f"not a notebook: {error.msg} at column {error.colno} of its JSON", error.lineno) from None
    except RecursionError:
        raise CannotPort("not a notebook: its JSON nests too deeply") from None
    if not isinstance(notebook, dict):
        raise CannotPort(f"not a notebook: its JSON is {_type(notebook)}, not an object")
    return notebook


def _checked(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells, each of which has a type and a source."""
    if "worksheets" in notebook:
        raise CannotPort("a notebook of format 3 or older; open and save it in Jupyter, which makes it format 4")
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        found = f'its "cells" are {_type(cells)}, not a list' if "cells" in notebook else 'it has no "cells"'
        raise CannotPort(f"not a notebook: {found}")
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            raise CannotPort(f"cell {number} is {_type(cell)}, not an object")
        if not isinstance(cell.get("cell_type"), str):
            raise CannotPort(f'cell {number} has no "cell_type", or one that is not a string')
        source = cell.get("source")
        strings = source if isinstance(source, list) else [source]
        if not all(isinstance(string, str) for string in strings):
            raise CannotPort(f'cell {number} has no "source" that is a string or a list of strings')
    return cells


def _type(value: object) -> str:
    return _TYPES.get(type(value), "null")


def _is_python(notebook: dict[str, Any]) -> bool:
    """By what its metadata say; without a word of it, a notebook is in Python."""
    metadata = notebook.get("metadata")
    for entry, key in (("language_info", "name"), ("kernelspec", "language")):
        value = metadata.get(entry) if isinstance(metadata, dict) else None
        language = value.get(key) if isinstance(value, dict) else None
        if isinstance(language, str):
            return "python" in language.lower()
    return True


def _sources(text: str) -> dict[int, list[Place]]:
    """By the index of a cell: the place of its source, preceded by those of the strings in it."""
    found: dict[int, list[Place]] = {}
    seen: set[tuple[str | int, ...]] = set()
    for place in places(text, depth=4):
        match place.path:
            case ("cells",) | ("cells", int(), "cell_type" | "source"):
                if place.path in seen:
                    raise CannotPort(f"not a notebook: {_name(place.path)} stands twice in its JSON")
                seen.add(place.path)
        match place.path:
            case ("cells", int() as index, "source", *_):
                found.setdefault(index, []).append(place)
    return found


def _name(path: tuple[str | int, ...]) -> str:
    return f'"{path[-1]}"' if len(path) == 1 else f'the "{path[-1]}" of cell {int(path[1]) + 1}'


def _located(source: str | list[str], found: list[Place]) -> CellSource:
    *strings, whole = found
    if isinstance(source, str):
        return CellSource(whole.start, whole.end, [source], [(whole.start, whole.end)])
    return CellSource(whole.start, whole.end, source, [(place.start, place.end) for place in strings])


@dataclass(frozen=True)
class CellSource:
    """Where a source stands in the notebook's text, quotes or brackets included, and the strings that it holds.

    `spans` are the places of the `strings`; for a source that is one string, its own place. A change of the list's
    strings leaves those around them as they are, and an added line is set apart as its neighbours are.
    """

    start: int
    end: int
    strings: list[str]
    spans: list[tuple[int, int]]

    @property
    def text(self) -> str:
        return "".join(self.strings)

    def changed(self, notebook: str, changes: Iterable[Change]) -> Change:
        """What changes in the notebook's text, for changes that count within the source."""
        raw = [notebook[start:end] for start, end in self.spans]
        if self.spans == [(self.start, self.end)]:
            return Change(self.start, self.end, changed_string(raw[0], changes))
        own = self._by_string(changes)
        new = [self._string(index, raw[index], own[index]) for index in range(len(raw))]
        return Change(self.start + 1, self.end - 1, self._joined(notebook, new))

    def _by_string(self, changes: Iterable[Change]) -> list[list[Change]]:
        """The changes of each string. What is added between two strings goes to the end of the first."""
        own: list[list[Change]] = [[] for _ in self.strings]
        for start, end, new in changes:
            first = 0
            for index, string in enumerate(self.strings):
                stop = first + len(string)
                begins_here = first <= start < stop or (start == end == stop)
                if string and (begins_here or start < first < end):
                    piece = new if begins_here else ""
                    own[index].append(Change(max(start - first, 0), min(end, stop) - first, piece))
                    if start == end:
                        break
                first = stop
        return own

    def _string(self, index: int, raw: str, changes: list[Change]) -> list[str]:
        """What one raw string becomes: none if nothing of it is left, several if lines were added."""
        if not changes:
            return [raw]
        if sum(end - start for start, end, _ in changes) == len(self.strings[index]) and not any(
            c.new for c in changes
        ):
            return []
        changed = changed_string(raw, changes)
        is_one_line = "\n" not in self.strings[index][:-1]
        return string_lines(changed) if is_one_line else [changed]

    def _joined(self, notebook: str, strings: list[list[str]]) -> str:
        """The inside of the list. Only its strings are new; a string that was added has a neighbour's separator."""
        lead = notebook[self.start + 1 : self.spans[0][0]]
        between = [notebook[end:start] for (_, end), (start, _) in pairwise(self.spans)]
        usual = between[0] if between else "," + (lead or " ")
        separated = [
            (between[index - 1] if index and not nth else usual, string)
            for index, several in enumerate(strings)
            for nth, string in enumerate(several)
        ]
        if not separated:
            return ""
        rest = "".join(separator + string for separator, string in separated[1:])
        return lead + separated[0][1] + rest + notebook[self.spans[-1][1] : self.end - 1]
