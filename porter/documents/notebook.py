"""A notebook: the sources of its code cells, one after the other, are one unit; every other byte of the JSON stays.

Places are given as people see them: the cell, counted from 1 among all cells, and the line within it.
"""

from __future__ import annotations

from porter.changes import apply
from porter.documents.base import CannotPort, PortedBytes, port_unit
from porter.documents.encoding import byte_order_mark, decode, encode
from porter.documents.notebook_cells import code_cells
from porter.documents.notebook_unit import NotebookUnit
from porter.port import Plan


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    mark = byte_order_mark(data)
    text = decode(data, mark)
    unit = NotebookUnit(code_cells(text))
    try:
        ported = port_unit(unit.text, plan)
    except CannotPort as error:
        raise unit.placed_error(error) from None
    findings = tuple(unit.placed(finding) for finding in ported.findings)
    if not ported.changes:
        return PortedBytes(data, findings)
    sources = unit.by_cell(ported.changes)
    changed = apply(text, (cell.source.changed(text, changes) for cell, changes in sources))
    return PortedBytes(mark + encode(changed), findings)
