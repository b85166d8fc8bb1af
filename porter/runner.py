"""Port many files: one after the other, or on several processes, each file by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from porter.discovery import Input
from porter.findings import Failure, FileReport
from porter.port_file import Job, port_file, shown

#: Below this many files for each process, starting it costs more than it saves.
_FILES_WORTH_A_PROCESS = 24

#: What these have to import, libcst above all, the forked processes share.
_FILES_BEFORE_THE_FORK = 4


def run(inputs: Sequence[Input], job: Job, processes: int) -> Iterator[FileReport]:
    """The files in their order. A file on which the process dies is reported, and the others are still done."""
    processes = min(processes, max(len(inputs) // _FILES_WORTH_A_PROCESS, 1))
    if processes == 1:
        yield from (_port(one, job) for one in inputs)
        return
    yield from _run_in_processes(inputs, job, processes)


def _port(one: Input, job: Job) -> FileReport:
    """Each file in its place, or launch scripts beside themselves."""
    if job.npu_scripts:
        from porter.port_beside import port_beside

        return port_beside(one, job)
    return port_file(one, job)


def _run_in_processes(inputs: Sequence[Input], job: Job, processes: int) -> Iterator[FileReport]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # Forking shares what is imported already; where it is the default, it is safe for a process without threads.
    context = get_context("fork" if sys.platform == "linux" else None)
    first, rest = inputs[:_FILES_BEFORE_THE_FORK], inputs[_FILES_BEFORE_THE_FORK:]
    yield from (_port(one, job) for one in first)
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
        return [_port(one, cls.job) for one in chunk]


def _port_alone(one: Input, job: Job) -> FileReport:
    """In a process of its own, since one of the files around it took its process down."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    try:
        with ProcessPoolExecutor(1) as pool:
            return pool.submit(_port, one, job).result()
    except BrokenProcessPool:
        return FileReport(shown(one), failure=Failure("the parser crashed on it; please report this file"))
