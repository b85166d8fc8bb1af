"""The processes of a launch, begun by their launcher without a program that would ask for them.

A launcher starts `worker`, which asks the process that serves the launch script for a process, and waits for its end.
The launcher runs in a process of the trial itself, and can do that as well. Where it does nothing but wait for a single
one, that runs in the launcher's process: a fork of a process with torch in it takes as long as much of what it runs.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from script_trial.launches.client import asked
from script_trial.launches.requests import are_seen_alike, run_command
from script_trial.launches.settings import LaunchSettings

#: Where torch's agent starts processes; it has the class by a name of its own.
_OF_TORCH = "torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler"

#: What launchers say of a process.
_SAID = {"env", "stdout", "stderr", "start_new_session"}


class AskedProcess:
    """What launchers use of `subprocess.Popen`, of a process that was asked for.

    Raises:
        OSError: there is nobody to ask.
    """

    def __init__(
        self,
        settings: LaunchSettings,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        streams: tuple[int, int, int],
        leads_session: bool,
    ) -> None:
        variables = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
        words = [os.fsencode(word) for word in arguments]
        self.args = arguments
        self.returncode: int | None = None
        self._server = asked(os.fsencode(settings.socket), words, variables, streams, leads_session)
        self._said = b""
        while b"\n" not in self._said:
            if not self._has_heard():
                raise OSError(f"{settings.socket}: nobody begins processes there any more")
        self.pid = int(self._said.partition(b"\n")[0].removeprefix(b"begun "))

    def _has_heard(self) -> bool:
        """Waits for what is said next; False after the last of it."""
        more: bytes = self._server.recv(64)
        self._said += more
        return bool(more)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        while self.returncode is None:
            ready, _, _ = select.select([self._server], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            if not self._has_heard():
                self.returncode = int(self._said.partition(b"ended ")[2] or -signal.SIGKILL)
                self._server.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class EndedProcess:
    """The same, of one that has run in this process."""

    returncode: int
    pid: int

    def poll(self) -> int:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        return self.returncode


def run_here(arguments: Sequence[str], environment: Mapping[str, str]) -> EndedProcess:
    """Runs what a process was to run, in this one."""
    os.environ.clear()
    os.environ.update(environment)
    return EndedProcess(run_command(arguments), os.getpid())


@contextlib.contextmanager
def own_processes(settings: LaunchSettings) -> Iterator[None]:
    """Within it launchers start what `worker` would ask for."""
    holders: list[Any] = [subprocess, *(sys.modules[name] for name in (_OF_TORCH,) if name in sys.modules)]
    start: Callable[..., Any] = subprocess.Popen

    def put(popen: Callable[..., Any]) -> None:
        for holder in holders:
            holder.Popen = popen

    def started(args: Any, *others: Any, **said: Any) -> Any:
        if others or args[0] != settings.worker or not said.keys() <= _SAID:
            return start(args, *others, **said)
        environment = said.get("env") or dict(os.environ)
        if settings.processes == 1 and said.keys() == {"env"} and are_seen_alike(environment, os.environ):
            put(start)
            return run_here(args[1:], environment)
        out, err = (said.get(name) for name in ("stdout", "stderr"))
        streams = 0, 1 if out is None else out.fileno(), 2 if err is None else err.fileno()
        return AskedProcess(settings, args[1:], environment, streams, said.get("start_new_session", False))

    put(started)
    try:
        yield
    finally:
        put(start)
