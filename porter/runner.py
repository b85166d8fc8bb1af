"""Port many files: one after the other, or on several processes, each file by itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from porter.changes import LINE
from porter.discovery import Input
from porter.findings import Failure, FileReport, Finding
from porter.port import Plan
from porter.port_file import CannotPort, PortedBytes, port_bytes
from porter.record import Entry
from porter.record_log import Record, RecordError
from porter.undo import entry_to_keep, undone
from porter.writing import CannotWrite, read_file, replace_file

if TYPE_CHECKING:
    from porter.settings import Settings

#: The code of the note that an NPU script is there already.
KEPT = "DP420"

#: Below this many files for each process, starting it costs more than it saves.
_FILES_WORTH_A_PROCESS = 24

#: What these have to import, libcst above all, the forked processes share.
_FILES_BEFORE_THE_FORK = 4


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


def run(inputs: Sequence[Input], job: Job, processes: int) -> Iterator[FileReport]:
    """The files in their order. A file on which the process dies is reported, and the others are still done."""
    processes = min(processes, max(len(inputs) // _FILES_WORTH_A_PROCESS, 1))
    if processes == 1:
        yield from (port_file(one, job) for one in inputs)
        return
    yield from _run_in_processes(inputs, job, processes)


def port_file(one: Input, job: Job) -> FileReport:
    """Read, port, record and - if the job says so - write one file. Never raises for what is wrong with the file."""
    shown = one.path.replace(os.sep, "/")
    if one.problem is not None:
        return FileReport(shown, failure=Failure(one.problem))
    try:
        data, state = read_file(one.path)
    except OSError as error:
        return FileReport(shown, failure=Failure(error.strerror or str(error)))
    if job.npu_scripts:
        return _port_beside(one, data, job)
    target = destination(one, job.output)
    done = _done(one, target, data, job)
    report = FileReport(shown, done.ported.data != data, done.ported.findings, done.failure)
    if job.diff and report.changed:
        report = replace(report, diff=diff_of(shown, data, done.ported.data))
    if job.explains and one.portable:
        from porter.accounting.account import account

        is_selection = plan_for(one.path, job).codes is not None
        report = replace(report, account=account(one.path, data, done.ported.findings, is_selection))
    if not job.writes:
        return report
    try:
        if job.record is not None and done.entry is not None:
            job.record.keep(target, done.entry)  # first, so that a run that is killed leaves no file without it
        if target != one.path or report.changed:
            _write(target, done.ported.data, state if target == one.path else None, like=one.path)
    except (CannotWrite, OSError, RecordError) as error:
        return FileReport(shown, findings=done.ported.findings, failure=Failure(f"not written: {error}"))
    return report


@dataclass(frozen=True)
class _Done:
    """What came of a file before it is written; `entry` is what to keep in the record."""

    ported: PortedBytes
    entry: Entry | None = None
    failure: Failure | None = None


def _done(one: Input, target: str, data: bytes, job: Job) -> _Done:
    """What cannot be ported stays as it is."""
    if not one.portable:
        return _Done(PortedBytes(data))
    try:
        plan = plan_for(one.path, job)
        if plan.undoes:
            back = undone(one.path, data, plan, job.record)
            return _Done(back.ported, back.entry)
        ported = port_bytes(one.path, data, plan)
        if job.record is None or not job.writes:
            return _Done(ported)
        return _Done(ported, entry_to_keep(one.path, data, ported.data, plan, job.record))
    except CannotPort as error:
        return _Done(PortedBytes(data), failure=Failure(str(error), error.line))
    except RecordError as error:
        return _Done(PortedBytes(data), failure=Failure(str(error)))
    except Exception as error:  # a bug of ours costs this file only
        message = f"diffsynth-port failed on it ({type(error).__name__}: {error}); please report this"
        return _Done(PortedBytes(data), failure=Failure(message))


def _port_beside(one: Input, data: bytes, job: Job) -> FileReport:
    """Write the NPU form of a launch script. One that is there already stays as it is, and is noted if it differs."""
    from porter.documents import shell
    from porter.shell.npu_script import place_of_form

    shown, target = one.path.replace(os.sep, "/"), place_of_form(one.path)
    done = _done(one, target, data, replace(job, record=None))
    if done.failure is not None or not shell.trains(one.path, data):
        return FileReport(shown, failure=done.failure)
    try:
        ported = replace(done.ported, data=shell.moved_to(target, one.path, done.ported.data))
    except CannotPort as error:
        return FileReport(shown, failure=Failure(str(error)))
    there = read_file(target)[0] if os.path.isfile(target) else None
    if there == ported.data:
        return FileReport(shown, findings=_left(ported))
    diff = diff_of(target.replace(os.sep, "/"), there or b"", ported.data) if job.diff else ""
    report = FileReport(shown, True, ported.findings, diff=diff)
    if not job.writes:
        return report
    if there is not None:
        return replace(report, changed=False, findings=(*_left(ported), *_kept(shown, target, plan_for(one.path, job))))
    try:
        _write(target, ported.data, None, like=one.path)
    except (CannotWrite, OSError) as error:
        return replace(report, changed=False, failure=Failure(f"{target} was not written: {error}"))
    return report


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


def plan_for(path: str, job: Job) -> Plan:
    """The plan less the rules that the settings ignore for this file."""
    plan, ignored_codes = job.plan, job.ignored_codes
    if (own := job.own.get(os.path.dirname(path))) is not None:
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


def _write(target: str, data: bytes, read_as: os.stat_result | None, like: str) -> None:
    if read_as is None:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    replace_file(target, data, read_as)
    if read_as is None:
        os.chmod(target, os.stat(like).st_mode & 0o7777 | 0o200)


def diff_of(shown: str, old: bytes, new: bytes) -> str:
    """A unified diff of one file, which is new where `old` is empty; bytes that are not UTF-8 show as replacements."""
    from difflib import unified_diff

    before, after = (LINE.findall(data.decode("utf-8", "replace")) for data in (old, new))
    name = os.path.normpath(shown).replace(os.sep, "/").lstrip("/")  # git takes no "./"
    lines = []
    for line in unified_diff(before, after, f"a/{name}" if old else "/dev/null", f"b/{name}"):
        lines.append(line if line.endswith(("\n", "\r")) else line + "\n\\ No newline at end of file\n")
    return "".join(lines)


def _run_in_processes(inputs: Sequence[Input], job: Job, processes: int) -> Iterator[FileReport]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # Forking shares what is imported already; where it is the default, it is safe for a process without threads.
    context = get_context("fork" if sys.platform == "linux" else None)
    first, rest = inputs[:_FILES_BEFORE_THE_FORK], inputs[_FILES_BEFORE_THE_FORK:]
    yield from (port_file(one, job) for one in first)
    size = max(min(len(rest) // (processes * 16), 32), 1)  # small, so that all end together
    chunks = [rest[at : at + size] for at in range(0, len(rest), size)]
    with ProcessPoolExecutor(processes, context, _Worker.begin, (job,)) as pool:
        futures = [pool.submit(_Worker.port_chunk, chunk) for chunk in chunks]
        for chunk, future in zip(chunks, futures, strict=True):
            try:
                yield from future.result()
            except BrokenProcessPool:
                yield from (_port_alone(one, job) for one in chunk)


class _Worker:
    """What a process of the pool holds: the job, which is handed over only once."""

    job: Job

    @classmethod
    def begin(cls, job: Job) -> None:
        cls.job = job

    @classmethod
    def port_chunk(cls, chunk: Sequence[Input]) -> list[FileReport]:
        return [port_file(one, cls.job) for one in chunk]


def _port_alone(one: Input, job: Job) -> FileReport:
    """In a process of its own, since one of the files around it took its process down."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    try:
        with ProcessPoolExecutor(1) as pool:
            return pool.submit(port_file, one, job).result()
    except BrokenProcessPool:
        shown = one.path.replace(os.sep, "/")
        return FileReport(shown, failure=Failure("the parser crashed on it; please report this file"))
