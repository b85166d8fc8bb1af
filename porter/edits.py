"""Make the edits of all findings, those within another first: `foo("cuda").cuda()` holds two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from porter.changes import Change
from porter.findings import Edit
from porter.unit import Found


class Bytes(Protocol):
    """A text of which edits count the UTF-8 bytes."""

    data: bytes


def edited(source: Bytes, found: Iterable[Found]) -> tuple[list[Change], list[Found]]:
    """What the edits change, in order, and the findings that stand.

    Where two findings want to change the same bytes, the first one does and the other is dropped. A finding whose
    edit cannot be made as meant becomes an error, and a person has to make it.
    """
    kept: list[Found] = []
    edits: dict[tuple[int, int], Edit] = {}
    for one in found:
        own = {(edit.start, edit.end): edit for edit in one.edits}
        if any(edits.get(span, edit) != edit for span, edit in own.items()):
            continue
        try:
            for edit in own.values():
                _new_text(source.data[edit.start : edit.end].decode("utf-8"), edit)
        except ValueError as error:
            message = f"{one.finding.message}, but {error}"
            finding = one.finding._replace(severity="error", message=message, applicability="")
            kept.append(Found(finding))
            continue
        edits |= own
        kept.append(one)
    # A line that is added stands before what begins where it does; otherwise the outer edit comes first.
    outermost_first = sorted(edits.values(), key=lambda edit: (edit.start, edit.start < edit.end, -edit.end))
    return list(_changes(source.data, outermost_first)), kept


def _changes(data: bytes, edits: list[Edit]) -> Iterator[Change]:
    """One change for each edit that lies within no other."""
    at_byte = at = index = 0
    while index < len(edits):
        edit = edits[index]
        start = at + len(data[at_byte : edit.start].decode("utf-8"))
        end = start + len(data[edit.start : edit.end].decode("utf-8"))
        within, index = _render(data, edit.start, edit.end, edits, index + 1)
        yield Change(start, end, _made(data, within, edit, edits))
        at_byte, at = edit.end, end


def _render(data: bytes, start: int, end: int, edits: list[Edit], index: int) -> tuple[str, int]:
    """Bytes `start:end` with the edits from `index` on that lie within them; also the index of the next one."""
    pieces: list[str] = []
    at = start
    while index < len(edits) and edits[index].start < end and edits[index].end <= end:
        edit = edits[index]
        pieces.append(data[at : edit.start].decode("utf-8"))
        within, index = _render(data, edit.start, edit.end, edits, index + 1)
        pieces.append(_made(data, within, edit, edits))
        at = edit.end
    pieces.append(data[at:end].decode("utf-8"))
    return "".join(pieces), index


def _made(data: bytes, within: str, edit: Edit, edits: list[Edit]) -> str:
    """The new text of an edit; of one that is put together, each part with what else changes in it."""
    if edit.change or len(edit.arguments) == 1:
        return _new_text(within, edit)
    parts = []
    for part in edit.arguments:
        if isinstance(part, tuple):
            start, end = part
            # What is added where the edit begins stands before it already.
            added = {edit.start: edit.start}.items()
            inner = [
                one
                for one in edits
                if one is not edit and start <= one.start and one.end <= end and (one.start, one.end) not in added
            ]
            part, _ = _render(data, start, end, inner, 0)
        parts.append(part)
    return "".join(parts)


def _new_text(text: str, edit: Edit) -> str:
    if not edit.change:
        return str(edit.arguments[0])
    from porter import new_names  # both are imported only where something changes

    by_name = getattr(new_names, edit.change, None)
    if by_name is not None:
        return str(by_name(text, *edit.arguments))
    from porter import pieces

    try:
        return str(getattr(pieces, edit.change)(text, *edit.arguments))
    except RecursionError:
        raise new_names.CannotRewrite("it nests too deeply for libcst") from None
