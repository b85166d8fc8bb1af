"""Serves what a launch script starts: each launcher and each process of a launch is forked off here, imports paid.

A request that changes how the accelerator is to be seen is run in a fresh process, since that is read at its start.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

#: Variables that are read when torch and its accelerator are imported.
_READ_AT_START = ("ASCEND_", "CUDA_", "HIP_", "NPU_", "TORCH_DEVICE_", "PYTORCH_CUDA_", "LD_")


@dataclass(frozen=True)
class Request:
    """What a client asks for: to be run in `folder` in this environment, and in a session that it leads or in ours."""

    folder: str
    leads_session: bool
    arguments: list[str]
    environment: dict[str, str]

    @classmethod
    def read(cls, asked: bytes) -> Request:
        """Of what `client` sends: the folder, 1 for a session, how many arguments, these, and the environment."""
        folder, leads_session, count, *rest = map(os.fsdecode, asked.split(b"\0"))
        variables = (variable.partition("=") for variable in rest[int(count) :])
        return cls(folder, leads_session == "1", rest[: int(count)], {name: value for name, _, value in variables})

    @property
    def is_launcher(self) -> bool:
        return self.arguments[:2] == ["launch", "--"] and self.arguments[2] != "python"


@dataclass
class _Run:
    """A request that is being run: the client that waits for its end, and its process."""

    request: Request
    client: socket.socket
    process: int
    is_unwanted: bool = False

    @cached_property
    def launcher(self) -> int:
        """The process of the client."""
        told = self.client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", told)[0])

    def shown(self, status: int, records: Path) -> int:
        """What the client is told of a status. A launcher that has run the process of its launch itself, as the
        record of the launch says, ended as that did, and not as launchers do."""
        if status and self.request.is_launcher:
            begun = (file.read_text("utf-8") for file in records.glob("*/rank-*.begun"))
            return 1 if str(self.process) in begun else status
        return status


class LaunchRequests:
    """Listens at a socket until a process has ended. Only one may be open in a process.

    Attributes:
        ended: by process, the exit status of what was run and came to an end by itself, negative for a signal.
    """

    def __init__(self, path: Path, records: Path, *, forks: bool) -> None:
        self._records, self._forks = records, forks
        self.ended: dict[int, int] = {}
        self._runs: list[_Run] = []
        self._failed: set[int] = set()  # launchers of which a process has failed
        self._environment = dict(os.environ)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def serve_until_ended(self, script: subprocess.Popen[bytes]) -> int:
        """The exit status of the launch script, negative for a signal."""
        while (status := script.poll()) is None:
            self._reap()
            waiting = [self._listener, self._woken, *(run.client for run in self._runs)]
            ready, _, _ = select.select(waiting, [], [], 1.0)
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            if self._listener in ready:
                self._start(self._listener.accept()[0])
            for run in [run for run in self._runs if run.client in ready]:
                self._reap()  # it may have ended at the same time
                if run in self._runs:
                    os.kill(run.process, signal.SIGKILL)  # whoever asked for it has gone
                    run.is_unwanted = True
        for run in self._runs:
            os.kill(run.process, signal.SIGKILL)
        return status

    def _start(self, client: socket.socket) -> None:
        head, streams, _, _ = socket.recv_fds(client, 8, 3)
        length = int.from_bytes(head, "big")
        with client.makefile("rb") as rest:
            asked = rest.read(length)
        if not length or len(asked) != length or len(streams) != 3:  # it was ended before it had said what it wants
            client.close()
            return
        request = Request.read(asked)
        child = os.fork()
        if child == 0:
            self._run(request, client, streams)
        for stream in streams:
            os.close(stream)
        self._runs.append(_Run(request, client, child))

    def _run(self, request: Request, client: socket.socket, streams: list[int]) -> None:
        """In the child: what was asked for, with the client's streams, folder and environment."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if request.leads_session:
                os.setsid()
            client.sendall(b"begun %d\n" % os.getpid())
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.closerange(3, 1 << 12)
            os.chdir(request.folder)
            environment = request.environment
            if not self._forks or not are_seen_alike(environment, self._environment):
                command = [*fresh_command(), *request.arguments]
                os.execve(command[0], command, environment)
            os.environ.clear()
            os.environ.update(environment)
            status = run_command(request.arguments)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        for run in list(self._runs):
            ended, status = os.waitpid(run.process, os.WNOHANG)
            if ended:
                self._runs.remove(run)
                code = os.waitstatus_to_exitcode(status)
                if not self._was_ended(run, code):
                    self.ended[run.process] = code
                with contextlib.suppress(OSError):
                    run.client.sendall(b"ended %d" % run.shown(code, self._records))
                run.client.close()

    def _was_ended(self, run: _Run, code: int) -> bool:
        """Whether it was ended by us, or by its launcher because another one had failed."""
        if code == -signal.SIGTERM and run.launcher in self._failed:
            return True
        if code:
            self._failed.add(run.launcher)
        return run.is_unwanted


def fresh_command() -> list[str]:
    """What runs `python -m script_trial` with the same imports as this process."""
    return sys.orig_argv[: sys.orig_argv.index("serve")]


def are_seen_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether torch and its accelerator, imported in the one environment, are as they would be in the other."""
    both = [{name: value for name, value in each.items() if name.startswith(_READ_AT_START)} for each in (one, other)]
    return both[0] == both[1]


def run_command(arguments: Sequence[str]) -> int:
    """The exit status of `python -m script_trial ARGUMENTS`, run in this process, which runs one of its commands."""
    main = click.get_current_context().find_root().command
    try:
        main(list(arguments), prog_name="python -m script_trial")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
