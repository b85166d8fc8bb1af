"""The way of a file: read, ported or undone, accounted for, recorded together with those beside it, written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from porter.changes import diff_of
from porter.discovery import Input
from porter.documents import port_bytes
from porter.documents.document import CannotPort, PortedBytes
from porter.files import CannotWrite, read_file, replace_file
from porter.findings import Failure, FileReport
from porter.kinds import kind_by_name, kind_of
from porter.port import Plan
from porter.record import Entry
from porter.record_log import Record, RecordError
from porter.undo import entry_to_keep, undone

if TYPE_CHECKING:
    from porter.settings import Settings


@dataclass(frozen=True)
class Job:
    """What is done with each file. `output` is the folder for a ported copy; `writes` false only looks.

    `npu_scripts` leaves every file as it is, and writes NPU forms of those that launch trainings beside them. `record`
    is where ports note what they change; None: nowhere. `explains` gives an account of each file's lines. `own` are the
    plans and settings of folders that have others than the run.
    """

    plan: Plan
    writes: bool = True
    diff: bool = False
    output: str | None = None
    npu_scripts: bool = False
    record: Record | None = None
    ignored_codes: Callable[[str], frozenset[str]] | None = None
    explains: bool = False
    own: Mapping[str, tuple[Plan, Settings]] = field(default_factory=dict)


@dataclass(frozen=True)
class Translated:
    """What came of a file before it is written; `entry` is what to keep in the record."""

    ported: PortedBytes
    entry: Entry | None = None
    failure: Failure | None = None


class _Ready(NamedTuple):
    """A file that is translated, in the state in which it was read, and where it goes."""

    one: Input
    state: os.stat_result
    target: str
    done: Translated
    report: FileReport


_Entries = list[tuple[str, Entry]]


def port_files(inputs: Iterable[Input], job: Job) -> list[FileReport]:
    """Read, port, record and - if the job says so - write some files. Never raises for what is wrong with a file."""
    found = [_ready(one, job) for one in inputs]
    if not job.writes:
        return [one if isinstance(one, FileReport) else one.report for one in found]
    ready = [one for one in found if isinstance(one, _Ready)]
    reports = iter(_undone(ready, job) if job.plan.undoes else _ported(ready, job))
    return [one if isinstance(one, FileReport) else next(reports) for one in found]


def _ported(ready: Sequence[_Ready], job: Job) -> list[FileReport]:
    """Recorded all at once, and before any is written: a run that is killed leaves no ported file without its record.

    Of a file that then cannot be written, the record is again what it was.
    """
    entries = [(one.target, one.done.entry) for one in ready if one.done.entry is not None]
    earlier, problem = _recorded(entries, job)
    reports = [_written(one, problem) for one in ready]
    failed = {one.target for one, report in zip(ready, reports, strict=True) if report.failure is not None}
    _recorded([(target, entry) for target, entry in earlier if target in failed], job)
    return reports


def _undone(ready: Sequence[_Ready], job: Job) -> list[FileReport]:
    """Recorded once they are written: until then each is a ported file, which needs its record."""
    reports = [_written(one) for one in ready]
    of_target = {one.target: one.done.entry for one in ready if one.done.entry is not None}
    done = [one.target for one, report in zip(ready, reports, strict=True) if report.failure is None]
    _, problem = _recorded([(target, of_target[target]) for target in done if target in of_target], job)
    if problem is None:
        return reports
    failure = Failure(f"undone, but not noted: {problem}")
    return [
        replace(report, failure=failure) if report.failure is None and one.target in of_target else report
        for one, report in zip(ready, reports, strict=True)
    ]


def _ready(one: Input, job: Job) -> _Ready | FileReport:
    try:
        data, state = read(one)
    except OSError as error:
        return FileReport(shown(one), failure=Failure(error.strerror or str(error)), missing=True)
    target = destination(one, job.output)
    done = translated(one, target, data, job)
    return _Ready(one, state, target, done, _report(one, data, done, job))


def shown(one: Input) -> str:
    """The path, as reports have it."""
    return one.path.replace(os.sep, "/")


def read(one: Input) -> tuple[bytes, os.stat_result]:
    """The bytes of a file and the state in which they were read. Raises OSError."""
    if one.problem is not None:
        raise OSError(one.problem)
    return read_file(one.path)


def translated(one: Input, target: str, data: bytes, job: Job) -> Translated:
    """The bytes ported, or undone. What cannot be ported stays as it is."""
    if not one.portable:
        return Translated(PortedBytes(data))
    try:
        plan = plan_for(one.path, job)
        if plan.undoes:
            back = undone(one.path, data, plan, job.record)
            return Translated(back.ported, back.entry)
        ported = port_bytes(one.path, data, plan)
        if job.record is None or not job.writes:
            return Translated(ported)
        return Translated(ported, entry_to_keep(one.path, data, ported.data, plan, job.record))
    except CannotPort as error:
        return Translated(PortedBytes(data), failure=Failure(f"{error}{_taken_as(one.path, data)}", error.line))
    except RecordError as error:
        return Translated(PortedBytes(data), failure=Failure(str(error)))
    except Exception as error:  # a bug of ours costs this file only
        message = f"diffsynth-port failed on it ({type(error).__name__}: {error}); please report this"
        return Translated(PortedBytes(data), failure=Failure(message))


def _taken_as(path: str, data: bytes) -> str:
    """What is to be said of a file that is no Python, and was only read as such because its name tells nothing."""
    if kind_by_name(path) is not None or data.startswith(b"#!") or kind_of(path, data) != "python":
        return ""
    return "; it was read as Python, since its name tells no other kind (.ipynb, .md, .sh, .yaml, .json, .toml, ...)"


def _report(one: Input, data: bytes, done: Translated, job: Job) -> FileReport:
    report = FileReport(shown(one), done.ported.data != data, done.ported.findings, done.failure)
    if job.diff and report.changed:
        report = replace(report, diff=diff_of(shown(one), data, done.ported.data))
    if job.explains and one.portable:
        from porter.accounting.account import account

        is_selection = plan_for(one.path, job).codes is not None
        ported = done.ported
        report = replace(report, account=account(one.path, data, ported.findings, ported.left_out, is_selection))
    return report


def _recorded(entries: _Entries, job: Job) -> tuple[_Entries, RecordError | None]:
    """Keeps the entries; gives those that they replace, and why the record was not kept."""
    if job.record is None or not entries:
        return [], None
    try:
        earlier = [(target, job.record.entry(target)) for target, _ in entries]
        job.record.keep(entries)
    except RecordError as error:
        return [], error
    return [(target, entry) for target, entry in earlier if entry is not None], None


def _written(ready: _Ready, problem: RecordError | None = None) -> FileReport:
    """The report, once the file is in its place; `problem` is why its record was not kept, without which it is not."""
    one, target, report, data = ready.one, ready.target, ready.report, ready.done.ported.data
    try:
        if problem is not None and ready.done.entry is not None:
            raise problem
        if target != one.path:
            write_anew(target, data, like=one.path)
        elif report.changed:
            replace_file(target, data, ready.state)
    except (CannotWrite, RecordError) as error:
        what = "not written" if target == one.path else f"its copy {target.replace(os.sep, '/')} was not written"
        return FileReport(shown(one), findings=report.findings, failure=Failure(f"{what}: {error}"), missing=True)
    return report


def write_anew(target: str, data: bytes, like: str) -> None:
    """A file in another place, its folders too, with the mode of the file that it comes from. Raises CannotWrite."""
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        replace_file(target, data)
        os.chmod(target, os.stat(like).st_mode & 0o7777 | 0o200)
    except OSError as error:
        raise CannotWrite(error.strerror or str(error)) from None


def plan_for(path: str, job: Job) -> Plan:
    """The plan less the rules that the settings ignore for this file."""
    plan, ignored_codes = job.plan, job.ignored_codes
    if job.own and (own := job.own.get(os.path.dirname(path))) is not None:
        plan, ignored_codes = own[0], own[1].ignored_codes
    ignored = ignored_codes(path) if ignored_codes else frozenset()
    if not ignored:
        return plan
    from porter.rules import usual_rules

    codes = plan.codes if plan.codes is not None else frozenset(rule.code for rule in usual_rules())
    return replace(plan, codes=codes - ignored)


def destination(one: Input, output: str | None) -> str:
    """Where the file goes: its own place, or the same place below the output folder."""
    if output is None:
        return one.path
    if one.inside is None:
        return os.path.join(output, os.path.basename(one.path))
    return os.path.join(output, os.path.relpath(one.path, one.inside))
