"""One process that imports torch once, from which those of all ways are begun."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures import TimeoutError as TookTooLong
from typing import IO, Any, Protocol

from porter.verify.ways import Way, common_command, common_environment

#: Seconds until everything is imported.
_TIMEOUT = 600.0


class Process(Protocol):
    """What there is of `subprocess.Popen` for a process that was begun either way."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


class CommonStart:
    """Begins the process of each way, in place of a `subprocess.Popen` of its own: they share what they have imported.

    It starts at once, so that torch is imported while the scripts are still read. Where it cannot be used, `begin` says
    so, and a process that is started by itself says why.
    """

    def __init__(self) -> None:
        self._asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with asked:
            self._process = subprocess.Popen(
                common_command(asked.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=common_environment(),
                pass_fds=[asked.fileno()],
                start_new_session=True,
            )
        self._turn = threading.Lock()
        self._is_over = False
        self._begun: Future[int] = Future()
        self._statuses: dict[int, Future[int]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def import_for(self, libraries: Iterable[str]) -> None:
        """From now on it imports what most of the scripts use, as far as that looks for no device."""
        with self._turn, contextlib.suppress(OSError):
            self._asking.send(json.dumps({"libraries": sorted(libraries)}).encode())

    def begin(self, way: Way, command: list[str], log: IO[bytes]) -> Process | None:
        """A way's process, which does what a command says behind its `serve`; None where there is none."""
        told = {"imports": "; ".join(way.imports), "command": command, "environment": way.full_environment()}
        (stdin, to_stdin), (from_stdout, stdout) = os.pipe(), os.pipe()
        mine = os.fdopen(to_stdin, "wb", buffering=0), os.fdopen(from_stdout, "rb", buffering=0)
        pid = self._asked(told, [stdin, stdout, log.fileno()])
        os.close(stdin)
        os.close(stdout)
        if pid:
            return _Begun(pid, *mine, self._statuses[pid])
        for one in mine:
            one.close()
        if self._is_over:
            raise CancelledError
        return None

    def _asked(self, told: dict[str, Any], streams: list[int]) -> int:
        """The number of the process that has begun; 0 for none."""
        with self._turn, contextlib.suppress(OSError, TookTooLong):
            begun = self._begun = Future()
            if not self._is_over:
                socket.send_fds(self._asking, [json.dumps(told).encode()], streams)
                return begun.result(_TIMEOUT)
        return 0

    def cancel(self) -> None:
        """Begins no more: who waits for a process, or asks for one from now on, has a `CancelledError` raised."""
        self._is_over = True
        self._set(self._begun, 0)

    def stop(self) -> None:
        """What it has begun is not ended."""
        self._asking.close()
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "begun" in told:
                self._statuses[told["begun"]] = Future()
                self._set(self._begun, told["begun"])
            else:
                self._statuses[told["ended"]].set_result(told["status"])
        self._process.stdout.close()
        for waiting in (self._begun, *self._statuses.values()):
            self._set(waiting, 0)

    @staticmethod
    def _set(waiting: Future[int], result: int) -> None:
        with contextlib.suppress(InvalidStateError):
            waiting.set_result(result)


class _Begun:
    """A `Process` that another one has begun, and tells the end of."""

    def __init__(self, pid: int, stdin: Any, stdout: Any, status: Future[int]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self._status = status

    def poll(self) -> int | None:
        return self._status.result() if self._status.done() else None

    def wait(self) -> int:
        return self._status.result()


@contextlib.contextmanager
def common_start(ways: Iterable[Way]) -> Iterator[CommonStart | None]:
    """None where a way's process is not one that others are forked off."""
    if not all(way.forks for way in ways):
        yield None
        return
    common = CommonStart()
    try:
        yield common
    finally:
        common.stop()
