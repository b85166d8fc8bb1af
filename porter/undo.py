"""Undo the port of a file: by the record of what was changed in it, or else by the accelerator's words.

A file that a port left as it was has a record too, if it names the accelerator: undoing leaves it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from porter.documents.ported import PortedBytes
from porter.findings import Finding
from porter.port import NAMES_BOTH, Plan
from porter.port_file import port_bytes
from porter.record import Entry, Place, Restored, entry_of, restored
from porter.record_log import Record
from porter.tables import USUAL
from porter.targets import translation


@dataclass(frozen=True)
class Undone:
    """The ported bytes without the ports, and the entry to keep for them; None where there was no record."""

    ported: PortedBytes
    entry: Entry | None = None


def undone(path: str, data: bytes, plan: Plan, record: Record | None) -> Undone:
    """The file as it was before it was ported. Raises CannotPort and RecordError."""
    known = _known(path, data, plan, record) if plan.codes is None or NAMES_BOTH in plan.codes else None
    if known is None:
        return Undone(_by_words(path, data, plan, record))
    if known.changes and plan.source is not None and plan.source not in known.targets:
        return Undone(PortedBytes(data))
    back = restored(data, known)
    return Undone(PortedBytes(back.data, _findings(back)), entry_of(back.data, back.data, ()))


def _by_words(path: str, data: bytes, plan: Plan, record: Record | None) -> PortedBytes:
    """Undone by the accelerator's words alone, with a warning where a record of this path is of no more use."""
    ported = port_bytes(path, data, plan)
    outdated = record.entry(path) if record is not None and ported.data != data else None
    if outdated is None or not outdated.changes:
        return ported
    message = "too little is left of what was ported here, so that every word of the accelerator was undone"
    start = Place(1, 1, outdated.changes[0])
    warning = _finding("warning", start, message, "look whether the program itself named the accelerator")
    return replace(ported, findings=(warning, *ported.findings))


def entry_to_keep(path: str, before: bytes, after: bytes, plan: Plan, record: Record) -> Entry | None:
    """What undoing has to know after a port of the file at a path; None where there is nothing to know or nothing new.

    Over an earlier port, what both changed. Raises RecordError.
    """
    if before == after and not _names_target(after, plan):
        return None
    known = record.entry(path)
    if known is not None and not (back := restored(before, known)).is_another_file:
        if before == after:
            return known
        targets = dict.fromkeys((*known.targets, plan.target)) if back.found else (plan.target,)
        return entry_of(back.data, after, targets)
    return entry_of(before, after, (plan.target,))


def _known(path: str, data: bytes, plan: Plan, record: Record | None) -> Entry | None:
    if record is None:
        return None
    known = record.entry(path)
    if known is not None and not restored(data, known).is_another_file:
        return known
    return record.entry_like(data) if _names_source(data, plan) else None


def _findings(back: Restored) -> tuple[Finding, ...]:
    return tuple(
        [
            _finding("fix", place, f"{_shown(place.change.new)} becomes {_shown(place.change.old)} again")
            for place in back.found
        ]
        + [_missed(place) for place in back.missed]
    )


def _missed(place: Place) -> Finding:
    old, new = _shown(place.change.old), _shown(place.change.new)
    return _finding("warning", place, f"a port made {new} of {old} here, and it is no longer there", "undo it by hand")


def _finding(severity: str, place: Place, message: str, way_out: str = "") -> Finding:
    return Finding(NAMES_BOTH, severity, message, place.line, place.column, place.line, place.column, way_out)


def _shown(data: bytes) -> str:
    text = data.decode("utf-8", "replace").strip()
    lines = text.splitlines() or ["nothing"]
    return lines[0][:60] + (" ..." if len(lines) > 1 or len(lines[0]) > 60 else "")


def _names_target(data: bytes, plan: Plan) -> bool:
    return translation(plan.target).names_new(data)


def _names_source(data: bytes, plan: Plan) -> bool:
    return translation(plan.source or USUAL).names_new(data)
