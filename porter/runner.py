"""Port many files: one after the other, or on several processes, each chunk of files by itself."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from porter.discovery import Input
from porter.findings import Failure, FileReport
from porter.port_file import Job, port_files, shown

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Below this many files for each process, starting it costs more than it saves.
_FILES_WORTH_A_PROCESS = 24

#: What these have to import the forked processes share.
_FILES_BEFORE_THE_FORK = 4

#: The files are handed out in so many chunks to each process, so that all end together, and in no larger ones.
_CHUNKS, _LARGEST_CHUNK = 32, 32

#: So many chunks a process is given at once, so that it never waits for the next.
_AHEAD = 2


def run(inputs: Sequence[Input], job: Job, processes: int) -> Iterator[FileReport]:
    """The files in their order. A file on which the process dies is reported, and the others are still done."""
    processes = min(processes, max(len(inputs) // _FILES_WORTH_A_PROCESS, 1))
    if processes == 1:
        for one in inputs:
            yield from _port([one], job)
        return
    first, rest = inputs[:_FILES_BEFORE_THE_FORK], inputs[_FILES_BEFORE_THE_FORK:]
    yield from _port(first, job)
    size = max(min(len(rest) // (processes * _CHUNKS), _LARGEST_CHUNK), 1)
    yield from _run_in_processes([rest[at : at + size] for at in range(0, len(rest), size)], job, processes)


def _port(chunk: Sequence[Input], job: Job) -> list[FileReport]:
    """Each file in its place, or launch scripts beside themselves."""
    if job.npu_scripts:
        from porter.port_beside import port_beside

        return [port_beside(one, job) for one in chunk]
    return port_files(chunk, job)


def _run_in_processes(chunks: Sequence[Sequence[Input]], job: Job, processes: int) -> Iterator[FileReport]:
    from multiprocessing.connection import wait

    left = iter(enumerate(chunks))
    done: dict[int, list[FileReport]] = {}
    workers: list[_Worker] = []
    try:
        for number in range(len(chunks)):
            while number not in done:
                while len(workers) < processes:
                    workers.append(_Worker(job, [worker.connection for worker in workers]))
                    workers[-1].give(islice(left, _AHEAD))
                answered = wait([worker.connection for worker in workers])
                for worker in [one for one in workers if one.connection in answered]:
                    try:
                        done.update([worker.answer()])
                        worker.give(islice(left, 1))
                    except EOFError:
                        workers.remove(worker)
                        worker.end()
                        done |= {given: _each_alone(chunks[given], job) for given in worker.given}
            yield from done.pop(number)
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that ports chunks, one after the other. `given` are the numbers of those that it has not answered.

    `others` are this side of the connections to the other ones: a forked process has them too, and lets go of them, so
    that whichever side of a connection goes, the other one notices.
    """

    def __init__(self, job: Job, others: Sequence[Connection] = ()) -> None:
        from multiprocessing import get_context

        # Forking shares what is imported already; where it is the default, it is safe for a process without threads.
        forks = sys.platform == "linux"
        context: Any = get_context("fork" if forks else None)
        self.connection, its_own = context.Pipe()
        self.given: deque[int] = deque()
        shared = [*others, self.connection] if forks else []
        self._process = context.Process(target=_work, args=(its_own, job, shared), daemon=True)
        self._process.start()
        its_own.close()  # so that the end of the process is the end of what it sends

    def give(self, chunks: Iterator[tuple[int, Sequence[Input]]]) -> None:
        for number, chunk in chunks:
            self.given.append(number)
            with suppress(OSError):  # it is gone, as its answer will tell
                self.connection.send(chunk)

    def answer(self) -> tuple[int, list[FileReport]]:
        """The number of the first chunk not answered, and its reports. Raises EOFError if the process has died."""
        try:
            reports: list[FileReport] = self.connection.recv()
        except OSError:
            raise EOFError from None
        return self.given.popleft(), reports

    def end(self) -> None:
        self.connection.close()
        self._process.join()


def _work(connection: Connection, job: Job, shared: Sequence[Connection]) -> None:
    for other in shared:
        other.close()
    with suppress(EOFError, OSError, KeyboardInterrupt):  # there is nobody any more to answer
        while True:
            connection.send(_port(connection.recv(), job))


def _each_alone(chunk: Sequence[Input], job: Job) -> list[FileReport]:
    """In a process of its own each, since one of the files took its process down."""
    return [_alone(one, job) for one in chunk]


def _alone(one: Input, job: Job) -> FileReport:
    worker = _Worker(job)
    worker.give(iter([(0, [one])]))
    try:
        return worker.answer()[1][0]
    except EOFError:
        return FileReport(shown(one), failure=Failure("the parser crashed on it; please report this file"))
    finally:
        worker.end()
