"""A notebook: the sources of its code cells, one after the other, are one unit; every other byte of the JSON stays.

Places are given as people see them: the cell, counted from 1 among all cells, and the line within it.
"""

from __future__ import annotations

from porter.changes import apply
from porter.documents.embedded_shell import port_shell
from porter.documents.encoding import byte_order_mark, decode, encode
from porter.documents.notebook_cells import CodeCell, code_cells
from porter.documents.notebook_shell import as_shell
from porter.documents.notebook_unit import NotebookUnit
from porter.documents.ported import CannotPort, PortedBytes, port_unit
from porter.port import Plan, Ported


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
    findings = list(map(unit.placed, ported.findings))
    by_cell = {cell.number: list(changes) for cell, changes in unit.by_cell(ported.changes)}
    for cell in cells:
        shell = _shell_of(cell, plan, name)
        by_cell.setdefault(cell.number, []).extend(shell.changes)
        findings += (finding._replace(cell=cell.number) for finding in shell.findings)
    findings.sort(key=lambda one: (one.cell or 0, one.line, one.column))
    sources = [(cell, sorted(by_cell[cell.number])) for cell in cells if by_cell[cell.number]]
    if not sources:
        return PortedBytes(data, tuple(findings))
    changed = apply(text, [cell.source.changed(text, changes) for cell, changes in sources])
    return PortedBytes(mark + encode(changed), tuple(findings))


def _shell_of(cell: CodeCell, plan: Plan, name: str) -> Ported:
    text = as_shell(cell.source.text)
    return Ported("") if text is None else port_shell(text, plan, name)
