"""The lines of a source in C++ that name CUDA: it is counted as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from porter.accounting.commented_text import all_for
from porter.accounting.reasons import Place, Reason


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    return ((Place(0, line), reason) for line, reason in all_for(text, Reason.ANOTHER_ENGINE))
