"""The lines of a shell script that name CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from porter.accounting.places import Place
from porter.accounting.reasons import Reason
from porter.accounting.text import reasons


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    return ((Place(0, line), reason) for line, reason in reasons(text))
