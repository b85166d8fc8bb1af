"""Undo the port of a file: by the record of what was changed in it, or else by the accelerator's words.

A file that a port left as it was has a record too, if it names the accelerator: undoing leaves it as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from porter.documents import port_bytes
from porter.documents.document import CannotPort, PortedBytes
from porter.findings import Finding
from porter.kinds import kind_by_name
from porter.port import NAMES_BOTH, Plan
from porter.record import Entry, Place, Restored, entry_of, restored, sums_of
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
    asks_the_record = record is not None and (plan.codes is None or NAMES_BOTH in plan.codes)
    if record is None or not asks_the_record:
        return Undone(port_bytes(path, data, plan))
    back = _Back(path, data)
    known = record.entry(path)
    renamed_from = None
    if known is None or back.by(known).is_another_file:
        renamed = _renamed(back, plan, record)
        if renamed is None:
            return Undone(_by_words(path, data, plan, known))
        renamed_from, known = renamed
    if known.changes and plan.source is not None and plan.source not in known.targets:
        return Undone(PortedBytes(data))
    done = back.by(known)
    if not known.is_of(data) and _breaks(path, data, done.data):
        record_of = _shown_path(renamed_from or path)
        raise CannotPort(f"left as it is: undone by the record of {record_of}, it could not be parsed; undo it by hand")
    findings = list(map(back.placed, _findings(done)))
    if renamed_from is not None and done.found:
        findings.insert(0, _renamed_from(renamed_from))
    return Undone(PortedBytes(done.data, tuple(findings)), _entry_of(path, done.data, done.data, ()))


def entry_to_keep(path: str, before: bytes, after: bytes, plan: Plan, record: Record) -> Entry | None:
    """What undoing has to know after a port of the file at a path; None where there is nothing to know or nothing new.

    Over an earlier port, what both changed. Raises RecordError.
    """
    if before == after and not _names_target(after, plan):
        return None
    known = record.entry(path)
    if known is not None and before == after and known.is_of(before):
        return known
    if known is not None and not (back := _Back(path, before).by(known)).is_another_file:
        if before == after:
            return known
        if not known.is_of(before) and _breaks(path, before, back.data):
            return _entry_of(path, before, after, (plan.target,))
        targets = dict.fromkeys((*known.targets, plan.target)) if back.found else (plan.target,)
        return _entry_of(path, back.data, after, targets)
    return _entry_of(path, before, after, (plan.target,))


def _entry_of(path: str, before: bytes, after: bytes, targets: Iterable[str]) -> Entry:
    entry = entry_of(before, after, targets)
    if kind_by_name(path) != "notebook":
        return entry
    from porter.documents.notebook import entry_of_code

    return replace(entry, code=entry_of_code(before, after, entry.targets))


class _Back:
    """The file on its way back. A notebook that was saved in another layout goes by the code of its cells."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self.is_notebook = kind_by_name(path) == "notebook"
        self.placed: Callable[[Finding], Finding] = lambda finding: finding

    def by(self, entry: Entry) -> Restored:
        if self.is_notebook and entry.code is not None and not entry.is_of(self.data):
            from porter.documents.notebook import restored_code

            by_cells = restored_code(self.data, entry.code)
            if by_cells is not None:
                self.placed = by_cells[1].placed
                return by_cells[0]
        return restored(self.data, entry)

    def lines(self) -> tuple[tuple[int, ...], bool]:
        """The checksums by which a renamed file is known, and whether they are those of a notebook's code."""
        if self.is_notebook:
            from porter.documents.notebook import code_of

            if (code := code_of(self.data)) is not None:
                return sums_of(code), True
        return sums_of(self.data), False


def _breaks(path: str, before: bytes, after: bytes) -> bool:
    from porter.still_parses import still_parses

    return not still_parses(path, before, after)


def _renamed(back: _Back, plan: Plan, record: Record) -> tuple[str, Entry] | None:
    """The path and entry of the file that this one was; one that is still in its place has to fit as a whole."""
    if not translation(plan.source or USUAL).names_new(back.data):
        return None
    from porter.renamed import kept_for

    sums, is_code = back.lines()
    kept = kept_for(back.path, sums, record, is_code)
    if kept is None:
        return None
    done = back.by(kept.entry)
    fits = not done.is_another_file and not (done.missed and os.path.exists(kept.path))
    return kept if fits else None


def _renamed_from(path: str) -> Finding:
    message = f"undone by the record of {_shown_path(path)}, which this file was or was made from"
    return Finding(NAMES_BOTH, "note", message, 1, 1, 1, 1)


def _shown_path(path: str) -> str:
    shown = os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
    return shown.replace(os.sep, "/")


def _by_words(path: str, data: bytes, plan: Plan, outdated: Entry | None) -> PortedBytes:
    """Undone by the accelerator's words alone, and said so; `outdated` is a record of this path that is of no use."""
    ported = port_bytes(path, data, plan)
    if ported.data == data:
        return ported
    name = plan.source or USUAL
    if outdated is not None and outdated.changes:
        message = "too little is left of what was ported here, so that every word of the accelerator was undone"
        start = Place(1, 1, outdated.changes[0])
        said = _finding("warning", start, message, "look whether the program itself named the accelerator")
    else:
        message = f"no record of a port of this file is known, so that every word of {name} was undone"
        way_out = (
            f"--record FILE names a record that was kept elsewhere; or see whether the program itself named {name}"
        )
        said = Finding(NAMES_BOTH, "note", message, 1, 1, 1, 1, way_out)
    return replace(ported, findings=(said, *ported.findings))


def _findings(back: Restored) -> list[Finding]:
    return [
        _finding("fix", place, f"{_shown(place.change.new)} becomes {_shown(place.change.old)} again")
        for place in back.found
    ] + [_missed(place) for place in back.missed]


def _missed(place: Place) -> Finding:
    old, new = _shown(place.change.old), _shown(place.change.new)
    message = f"a port made {new} of {old} here, and it is no longer there"
    return _finding("error", place, message, "undo this line by hand")


def _finding(severity: str, place: Place, message: str, way_out: str = "") -> Finding:
    return Finding(NAMES_BOTH, severity, message, place.line, place.column, place.line, place.column, way_out)


def _shown(data: bytes) -> str:
    text = data.decode("utf-8", "replace").strip()
    lines = text.splitlines() or ["nothing"]
    return lines[0][:60] + (" ..." if len(lines) > 1 or len(lines[0]) > 60 else "")


def _names_target(data: bytes, plan: Plan) -> bool:
    return translation(plan.target).names_new(data)
