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
from porter.documents.ported import CannotPort, PortedBytes, located, port_unit, with_edits
from porter.findings import Finding
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
    findings = [_placed(one, ported, unit) for one in ported.findings]
    by_cell = {cell.number: list(changes) for cell, changes in unit.by_cell(ported.changes)}
    for cell in cells:
        shell = _shell_of(cell, plan, name)
        by_cell.setdefault(cell.number, []).extend(shell.changes)
        findings += (one._replace(cell=cell.number) for one in with_edits(cell.source.text, shell))
    findings.sort(key=lambda one: (one.cell or 0, one.line, one.column))
    sources = [(cell, sorted(by_cell[cell.number])) for cell in cells if by_cell[cell.number]]
    if not sources:
        return PortedBytes(data, tuple(findings))
    changed = apply(text, [cell.source.changed(text, changes) for cell, changes in sources])
    return PortedBytes(mark + encode(changed), tuple(findings))


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
