"""The lines of a notebook that name CUDA: those of its code cells by themselves, all others for what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator

from porter.accounting import commented_text as plain
from porter.accounting import python
from porter.accounting.mentions import lines_that_name
from porter.accounting.reasons import Place, Reason
from porter.documents.ipython import as_python
from porter.documents.notebook_cells import code_cells
from porter.documents.ported import CannotPort


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    try:
        cells = code_cells(text)
    except CannotPort:
        yield from ((Place(0, line), Reason.UNREADABLE) for line in lines_that_name(text.encode("utf-8")))
        return
    code = {cell.number for cell in cells}
    for cell in cells:
        yield from _of_code(cell.number, cell.source.text)
    for number, content in enumerate(json.loads(text)["cells"], 1):
        if number not in code:
            yield from _of_value(number, content.get("source"), Reason.PROSE)
        yield from _of_value(number, content.get("outputs"), Reason.OUTPUT)


def _of_code(number: int, source: str) -> Iterator[tuple[Place, Reason | None]]:
    readable = as_python(source)
    shell = dict(plain.reasons(source)) if readable is None or readable != source else {}
    known = {} if readable is None else dict(_as_pairs(readable))
    for line in lines_that_name(source.encode("utf-8")):
        yield Place(number, line), known.get(line, shell.get(line))


def _as_pairs(text: str) -> Iterator[tuple[int, Reason | None]]:
    return ((place.line, reason) for place, reason in python.mentions(text))


def _of_value(number: int, value: object, reason: Reason) -> Iterator[tuple[Place, Reason | None]]:
    text = "".join(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else None
    if text is None:
        text = json.dumps(value, indent=0) if not isinstance(value, str) else value
    return ((Place(number, line), reason) for line in lines_that_name(text.encode("utf-8")))
