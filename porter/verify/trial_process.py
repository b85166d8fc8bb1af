"""A process that runs scripts for one of the ways: started when needed, asked one job at a time, ended at last."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import select
import subprocess
import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TookTooLong
from pathlib import Path
from typing import Any

from porter.verify.common_start import CommonStart, Process
from porter.verify.ways import Way
from script_trial.processes import end_with_all_below, how_it_ended

#: Seconds until it has imported everything; the emulated NPU may have to be compiled first.
_START_TIMEOUT = 600.0

#: Seconds until a job that is ended has ended.
_END_TIMEOUT = 10.0

#: "package.errors.BuildError: " in front of what an exception says.
_ERROR_NAME = re.compile(r"^[A-Za-z_][\w.]*: (?=\S)")


class CannotStart(Exception):
    """The process that runs the scripts does not come up; the message says why and what to do."""


class Ended(Exception):
    """A job did not come to its end; the message says how it ended."""


class TrialProcess:
    """Runs jobs in `python -m script_trial serve`, for one way; threads may ask for several at once.

    Attributes:
        machine: what it said it runs on, once it is started.
    """

    def __init__(
        self, way: Way, folder: Path, libraries: Iterable[str] = (), common: CommonStart | None = None
    ) -> None:
        """`libraries` are those that it imports before the first job; others are imported in each job. The process is
        begun by `common` where there is one, unless it has ended and is started again."""
        self.way = way
        self._common = common
        self._libraries = libraries
        self.machine: dict[str, Any] = {}
        self._environment = way.full_environment()
        self._log = folder / f"{way.name}.log"
        self._process: Process | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[int]] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._over = threading.Event()

    def start(self) -> None:
        """Does nothing if it runs already. Raises CannotStart, and CancelledError after `end`."""
        with self._lock:
            if self._over.is_set():
                raise CancelledError
            if self._process is not None and self._process.poll() is None:
                return
            process = self._process = self._begun()
            assert process.stdout is not None
            first = process.stdout.readline() if select.select([process.stdout], [], [], _START_TIMEOUT)[0] else b""
            if first:
                self.machine = json.loads(first)
                threading.Thread(target=self._listen, args=[process], daemon=True).start()
        if self._over.is_set():  # meanwhile
            self.stop()
            raise CancelledError
        if not first:
            self.stop()
            raise CannotStart(_why_not(self._log.read_text("utf-8", "replace")))

    def _begun(self) -> Process:
        command = self.way.command(self._libraries)
        common, self._common = self._common, None
        with open(self._log, "wb") as log:
            begun = common.begin(self.way, command, log) if common is not None else None
            return begun or subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=self._environment,
                start_new_session=True,  # an interrupt from the keyboard is for the command, which ends this one
            )

    def ask(self, job: dict[str, Any], timeout: float) -> Any:
        """The result of a job. Raises CannotStart, and Ended where it died or took longer than `timeout` seconds."""
        if self.way.forks:
            return self._asked(job, timeout)
        with self._turn:  # a process for each job, and one device
            try:
                return self._asked(job, timeout)
            finally:
                self.stop()

    def end(self) -> None:
        """Stops, for good."""
        self._over.set()
        self.stop()

    def stop(self) -> None:
        """Ends the process and whatever it started."""
        # Another thread may be stopping it too: the command ends while this way is still starting.
        process, self._process = self._process, None
        if process is None:
            return
        end_with_all_below(process.pid)
        process.wait()

    def _asked(self, job: dict[str, Any], timeout: float) -> Any:
        self.start()
        process, number, answer = self._process, next(self._numbers), Future[int]()
        if process is None or process.stdin is None:
            raise Ended("its process was ended")
        self._waiting[number] = answer
        try:
            self._send(process, {"id": number, **job})
            status = answer.result(timeout)
        except TookTooLong:
            self._send(process, {"id": number, "do": "end"})
            with contextlib.suppress(TookTooLong):
                answer.result(_END_TIMEOUT)
            raise Ended(f"it took longer than {timeout:g} seconds (--timeout gives it more)") from None
        finally:
            del self._waiting[number]
        result = Path(job["result"])
        if status or not result.exists():
            raise Ended(how_it_ended(status))
        told = json.loads(result.read_text("utf-8"))
        if isinstance(told, dict) and "trial_failed" in told:
            raise Ended(f"its trial failed, which is no fault of the script: {told['trial_failed']}")
        return told

    def _send(self, process: Process, message: dict[str, Any]) -> None:
        assert process.stdin is not None
        with self._lock, contextlib.suppress(BrokenPipeError):  # that it has ended is told by its listener
            process.stdin.write(json.dumps(message).encode() + b"\n")

    def _listen(self, process: Process) -> None:
        """Hands on the answers; where the process ends before it has given one, its exit status."""
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if (answer := self._waiting.get(told["id"])) is not None:
                answer.set_result(told["status"])
        status = process.wait()
        for answer in list(self._waiting.values()):
            if not answer.done():
                answer.set_result(status or 1)


def _why_not(log: str) -> str:
    """From what it printed: the sentence of the error that ended it, which stands last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else "the process that runs the scripts ended without a word"
    if last.startswith("ModuleNotFoundError"):
        return f"{last}; verify runs the scripts, which needs: pip install '.[pipeline]' in a clone"
    return _ERROR_NAME.sub("", last)
