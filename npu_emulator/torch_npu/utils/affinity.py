"""Which cores of the host the calling thread may run on."""

from __future__ import annotations

import os
from typing import Any

_at_start = os.sched_getaffinity(0)


def _set_thread_affinity(core_range: list[int] | list[list[int]] | None = None) -> None:
    """Binds the thread to the cores ``[first, last]``, or to several such ranges; None takes the binding away.

    Raises:
        ValueError: not such a range.
        OSError: the host has none of the cores.
    """
    if core_range is None:
        _reset_thread_affinity()
        return
    ranges: list[Any] = list(core_range)
    if not ranges or not all(isinstance(part, list) for part in ranges):
        ranges = [core_range]
    for part in ranges:
        if not _is_range(part):
            raise ValueError(f"Invalid core range: {core_range}; expected [first, last] or a list of these")
    os.sched_setaffinity(0, {core for first, last in ranges for core in range(first, last + 1)})


def _is_range(part: object) -> bool:
    return (
        isinstance(part, list)
        and len(part) == 2
        and all(isinstance(core, int) for core in part)
        and 0 <= part[0] <= part[1]
    )


def _reset_thread_affinity() -> None:
    """Lets the thread run where it could when torch_npu was imported."""
    os.sched_setaffinity(0, _at_start)
