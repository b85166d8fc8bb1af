"""What a port changed in a notebook, by its code cells: Jupyter saves them in a layout of its own, with new outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from porter.changes import Change, apply
from porter.documents.encoding import byte_order_mark, decode, encode
from porter.documents.notebook_cells import code_cells
from porter.documents.notebook_unit import JoinedCells, as_written
from porter.documents.ported import CannotPort
from porter.record import Entry, Restored, entry_of, restored


def code_of(data: bytes) -> bytes | None:
    """The sources of all code cells, one after the other; None for what is no notebook."""
    joined = _joined(data)
    return None if joined is None else _bytes(joined.text)


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
