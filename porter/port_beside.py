"""`--npu-scripts`: the NPU forms of launch scripts, written beside them; the scripts themselves stay as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from porter.changes import diff_of
from porter.commenting import SHELL
from porter.discovery import Input
from porter.documents.document import CannotPort, PortedBytes, byte_order_mark, decode
from porter.files import CannotWrite, read_file, relative_to
from porter.findings import Failure, FileReport, Finding
from porter.ignore_comments import Ignores
from porter.port import Plan
from porter.port_file import Job, plan_for, read, shown, translated, write_anew
from porter.shell.npu_script import CannotMove, moved, place_of_form
from porter.shell.script import ShellScript
from porter.source import CannotParse
from porter.unit import Found

#: The code of the note that an NPU script is there already.
KEPT = "DP420"


def port_beside(one: Input, job: Job) -> FileReport:
    """Write the NPU form of a launch script. One that is there already stays as it is, and is noted if it differs."""
    try:
        data, _ = read(one)
    except OSError as error:
        return FileReport(shown(one), failure=Failure(error.strerror or str(error)))
    target = place_of_form(one.path)
    done = translated(one, target, data, replace(job, record=None))
    if done.failure is not None or not _trains(one.path, data):
        return FileReport(shown(one), failure=done.failure)
    try:
        ported = replace(done.ported, data=_moved_to(target, one.path, done.ported.data))
    except CannotPort as error:
        return FileReport(shown(one), failure=Failure(str(error)))
    there = read_file(target)[0] if os.path.isfile(target) else None
    if there == ported.data:
        return FileReport(shown(one), findings=_left(ported))
    diff = diff_of(target.replace(os.sep, "/"), there or b"", ported.data) if job.diff else ""
    report = FileReport(shown(one), True, ported.findings, diff=diff)
    if not job.writes:
        return report
    if there is not None:
        kept = _not_ignored(_kept(shown(one), target, plan_for(one.path, job)), data)
        return replace(report, changed=False, findings=(*_left(ported), *kept))
    try:
        write_anew(target, ported.data, like=one.path)
    except CannotWrite as error:
        return replace(report, changed=False, failure=Failure(f"{target} was not written: {error}"))
    return report


def _trains(name: str, data: bytes) -> bool:
    """Whether a shell script launches a training."""
    try:
        return bool(ShellScript(decode(data, byte_order_mark(data)), name).trainings)
    except (CannotPort, CannotParse):
        return False


def _moved_to(target: str, name: str, data: bytes) -> bytes:
    """The script `name` as it has to be in the file `target`, where its own folder is another. Raises CannotPort."""
    mark = byte_order_mark(data)
    way_back = relative_to(os.path.dirname(target) or ".", os.path.dirname(name) or ".")
    try:
        return mark + moved(ShellScript(decode(data, mark), name), way_back)
    except CannotMove as error:
        advice = 'go there by cd "$(dirname "$0")" first, and name files from there'
        raise CannotPort(f"it asks for its own folder, which is another one for {target}: {error}; {advice}") from None


def _not_ignored(findings: Iterator[Finding], data: bytes) -> Iterator[Finding]:
    """What no comment of the script asks to leave out."""
    kept, _ = Ignores(decode(data, byte_order_mark(data)), SHELL).split(map(Found, findings))
    return (one.finding for one in kept)


def _left(ported: PortedBytes) -> tuple[Finding, ...]:
    """What is left to a person."""
    return tuple(finding for finding in ported.findings if not finding.is_fix)


def _kept(shown: str, target: str, plan: Plan) -> Iterator[Finding]:
    """That an NPU script that was edited, or written by hand, stays as it is."""
    if plan.codes is not None and KEPT not in plan.codes:
        return
    way_out = f"diffsynth-port {shown} --target npu --npu-scripts --diff shows how; delete it to have it written anew"
    message = f"{target.replace(os.sep, '/')} is kept; the NPU form of this script differs from it"
    yield Finding(KEPT, "note", message, 1, 1, 1, 1, way_out)
