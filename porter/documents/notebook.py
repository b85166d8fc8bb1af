"""A notebook: the sources of its code cells, one after the other, are one unit; every other byte of the JSON stays.

Places are given as people see them: the cell, counted from 1 among all cells, and the line within it. What a port
changed is kept by the code cells: Jupyter saves them in a layout of its own, with new outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from porter.accounting import commented_text as plain
from porter.accounting import python_source
from porter.accounting.mentions import Place, Reason, lines_that_name
from porter.changes import Change, apply
from porter.documents.document import (
    CannotPort,
    PortedBytes,
    byte_order_mark,
    decode,
    encode,
    located,
    port_unit,
    with_edits,
)
from porter.documents.ipython import as_python, as_shell
from porter.documents.notebook_cells import CodeCell, code_cells
from porter.documents.notebook_unit import JoinedCells, NotebookUnit, as_written
from porter.documents.shell import port_shell
from porter.findings import Finding
from porter.port import Plan, Ported
from porter.record import Entry, Restored, entry_of, restored


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    mark = byte_order_mark(data)
    text = decode(data, mark)
    cells = code_cells(text)
    unit = NotebookUnit(cells)
    try:
        ported = port_unit(unit.text, plan)
    except CannotPort as error:
        raise unit.placed_error(error) from None
    findings = [_placed(one, ported, unit) for one in ported.findings]
    left_out = [unit.placed(one) for one in ported.left_out]
    by_cell = {cell.number: list(changes) for cell, changes in unit.by_cell(ported.changes)}
    for cell in cells:
        shell = _shell_of(cell, plan, name)
        by_cell.setdefault(cell.number, []).extend(shell.changes)
        findings += (one._replace(cell=cell.number) for one in with_edits(cell.source.text, shell))
        left_out += (one._replace(cell=cell.number) for one in shell.left_out)
    findings.sort(key=lambda one: (one.cell or 0, one.line, one.column))
    sources = [(cell, sorted(by_cell[cell.number])) for cell in cells if by_cell[cell.number]]
    if not sources:
        return PortedBytes(data, tuple(findings), tuple(left_out))
    changed = apply(text, [cell.source.changed(text, changes) for cell, changes in sources])
    return PortedBytes(mark + encode(changed), tuple(findings), tuple(left_out))


def _placed(finding: Finding, ported: Ported, unit: NotebookUnit) -> Finding:
    """The finding in its cell. Its edits go with it only where all of them are in that cell."""
    placed = unit.placed(finding)
    own = unit.by_cell(ported.edits.get(finding, ()))
    if len(own) != 1 or own[0][0].number != placed.cell:
        return placed
    cell, changes = own[0]
    return placed._replace(edits=located(cell.source.text, changes))


def _shell_of(cell: CodeCell, plan: Plan, name: str) -> Ported:
    text = as_shell(cell.source.text)
    return Ported("") if text is None else port_shell(text, plan, name)


def code_of(data: bytes) -> bytes | None:
    """The sources of all code cells, one after the other; None for what is no notebook."""
    joined = _joined(data)
    return None if joined is None else _bytes(joined.text)


def python_of(data: bytes) -> list[str]:
    """What is Python in each code cell; nothing for what is no notebook."""
    try:
        cells = code_cells(decode(data, byte_order_mark(data)))
    except CannotPort:
        return []
    return [as_python(cell.source.text) or "" for cell in cells]


def entry_of_code(before: bytes, after: bytes, targets: Iterable[str]) -> Entry | None:
    """What a port made of the code cells."""
    old, new = code_of(before), code_of(after)
    return None if old is None or new is None else entry_of(old, new, targets)


def restored_code(data: bytes, code: Entry) -> tuple[Restored, JoinedCells] | None:
    """A notebook without the ports, and the cells that its places count in; None if it cannot be read now."""
    joined = _joined(data)
    if joined is None:
        return None
    content = _bytes(joined.text)
    back = restored(content, code)
    changes = [
        Change(len(_text(content[:start])), len(_text(content[:end])), _text(old)) for start, end, old in back.edits
    ]
    mark = byte_order_mark(data)
    text = decode(data, mark)
    changed = apply(text, [cell.source.changed(text, own) for cell, own in joined.by_cell(changes)])
    return replace(back, data=mark + encode(changed), edits=()), joined


def _joined(data: bytes) -> JoinedCells | None:
    try:
        return as_written(code_cells(decode(data, byte_order_mark(data))))
    except CannotPort:
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    """The lines that name CUDA: those of code cells by themselves, all others for what they are."""
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
    return ((place.line, reason) for place, reason in python_source.mentions(text))


def _of_value(number: int, value: object, reason: Reason) -> Iterator[tuple[Place, Reason | None]]:
    text = "".join(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else None
    if text is None:
        text = json.dumps(value, indent=0) if not isinstance(value, str) else value
    return ((Place(number, line), reason) for line in lines_that_name(text.encode("utf-8")))
