"""Processes that a trial started: how one ended, and what it has started itself."""

from __future__ import annotations

import contextlib
import os
import signal

_SET_CHILD_SUBREAPER = 36  # of prctl(2)


def how_it_ended(status: int) -> str:
    """Of a process whose script did not come to its end, by its exit status, which is negative for a signal."""
    if status >= 0:
        return f"its process ended itself with exit status {status} before the script's last line"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = "; the machine may be out of memory" if -status == signal.SIGKILL else ""
    return f"its process was ended by {name}{hint}"


def adopt_orphans() -> None:
    """From now on processes whose parent has ended, below this one, become its children: none gets out of sight."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(process: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
    return found


def end_with_all_below(process: int) -> None:
    """Ends a process and whatever it has started, in whichever group or session that is."""
    below = [process]
    for one in below:
        below += children_of(one)
    for one in below:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)
