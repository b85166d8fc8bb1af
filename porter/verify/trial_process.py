"""A process that runs scripts for one of the ways: started when needed, asked one job at a time, ended at last."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
from pathlib import Path
from typing import IO, Any

from porter.verify.ways import Way

#: Seconds until it has imported everything; the emulated NPU may have to be compiled first.
_START_TIMEOUT = 600.0

#: "package.errors.BuildError: " in front of what an exception says.
_ERROR_NAME = re.compile(r"^[A-Za-z_][\w.]*: (?=\S)")


class CannotStart(Exception):
    """The process that runs the scripts does not come up; the message says why and what to do."""


class Ended(Exception):
    """A job did not come to its end; the message says how it ended."""


class TrialProcess:
    """Runs jobs in `python -m script_trial serve`, for one way.

    Attributes:
        machine: what it said it runs on, once it is started.
    """

    def __init__(self, way: Way, folder: Path) -> None:
        self.way = way
        self.machine: dict[str, Any] = {}
        self._environment = way.full_environment()
        self._folder = folder
        self._log = folder / f"{way.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Does nothing if it runs already. Raises CannotStart."""
        if self._process is not None and self._process.poll() is None:
            return
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                self.way.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=self._environment,
                start_new_session=True,  # an interrupt from the keyboard is for the command, which ends this process
            )
        answer = self._read(_START_TIMEOUT)
        if answer is None:
            self.stop()
            raise CannotStart(_why_not(self._log.read_text("utf-8", "replace")))
        self.machine = answer

    def ask(self, job: dict[str, Any], timeout: float) -> Any:
        """The result of a job. Raises CannotStart, and Ended where it died or took longer than `timeout` seconds."""
        self.start()
        result = Path(job["result"])
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        try:
            answer = self._read(timeout)
        except TimeoutError:
            self.stop()
            raise Ended(f"it took longer than {timeout:g} seconds (--timeout gives it more)") from None
        status = self._process.wait() if answer is None else answer["status"]
        if not self.way.forks:
            self.stop()
        if status or not result.exists():
            raise Ended(_how_it_ended(status))
        return json.loads(result.read_text("utf-8"))

    def stop(self) -> None:
        """Ends the process and whatever it started."""
        # Another thread may be stopping it too: the command ends while this way is still starting.
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self, timeout: float) -> dict[str, Any] | None:
        """The next line of answers; None where the process has ended. Raises TimeoutError."""
        assert self._process is not None
        output: IO[bytes] | None = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], timeout)[0]:
            raise TimeoutError
        line = output.readline()
        return json.loads(line) if line else None


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"its process ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = "; the machine may be out of memory" if -status == signal.SIGKILL else ""
    return f"its process was ended by {name}{hint}"


def _why_not(log: str) -> str:
    """From what it printed: the sentence of the error that ended it, which stands last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else "the process that runs the scripts ended without a word"
    if last.startswith("ModuleNotFoundError"):
        return f"{last}; verify runs the scripts, which needs: pip install '.[pipeline]' in a clone"
    return _ERROR_NAME.sub("", last)
