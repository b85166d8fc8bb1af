"""The command `begin`: one process imports what the ways of running scripts have in common, and each is forked off it.

It reads what it is asked at a socket: ``{"libraries": [NAME ...]}``, those that most scripts use, or ``{"imports":
STATEMENTS, "command": [...], "environment": {...}}`` with the three standard streams of a process that is to be as if
the command had started it: its statements run, and then it serves. On standard output it answers, one JSON object a
line: ``{"begun": PROCESS}``, and ``{"ended": PROCESS, "status": ...}`` when one has ended.

Nothing that looks for a device may be imported before a way has begun, since each has another one: where something
does nevertheless, this process ends, and each way has to start by itself.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

import click

from script_trial.without_device import import_always, import_early

#: No request is longer.
_LONGEST = 1 << 20


@click.command(hidden=True)
@click.argument("asked_at", type=int)
def begin(asked_at: int) -> None:
    """Import torch once for several processes, which are asked for at a socket of this number."""
    gc.disable()
    import_always()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _tell_of_ended)
    with socket.socket(fileno=asked_at) as asked:
        while True:
            request, streams, _, _ = socket.recv_fds(asked, _LONGEST, 3)
            if not request:
                return
            told = json.loads(request)
            if "libraries" in told:
                import_early(told["libraries"])
                gc.freeze()
                continue
            with _uninterrupted():
                child = os.fork()
                if child == 0:
                    _become(told, streams)
                _say({"begun": child})
            for stream in streams:
                os.close(stream)


@contextlib.contextmanager
def _uninterrupted() -> Any:
    """Nobody hears of the end of a process before its beginning."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _tell_of_ended(*_: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            _say({"ended": child, "status": os.waitstatus_to_exitcode(status)})


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _become(told: dict[str, Any], streams: list[int]) -> NoReturn:
    """The process of a way, in this child."""
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 1 << 12)
        os.environ.clear()
        os.environ.update(told["environment"])
        sys.orig_argv[:] = told["command"]
        exec(told["imports"], {})
        gc.freeze()
        gc.enable()
        main = click.get_current_context().find_root().command
        main(told["command"][told["command"].index("serve") :], prog_name="python -m script_trial")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
