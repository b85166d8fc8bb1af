"""Fewer and larger pages of memory for a process that is forked often.

A fork copies an entry for every page that the process has written, and the end of the child drops each of them: 100,000
pages of 4 KiB take some 10 ms of a processor each time. A page of 2 MiB is one entry.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

#: Of an x86 or ARM processor with pages of 4 KiB.
_HUGE = 2 << 20

_COLLAPSE = 25  # of madvise(2), since Linux 6.1: now, whatever the machine's settings are for pages to come


def use_huge_pages() -> None:
    """Moves what this process has written so far into huge pages, where the system has them; else it stays as it is."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, end in _written():
            start, end = -(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE
            if start < end:
                advise(start, end - start, _COLLAPSE)


def _written() -> Iterator[tuple[int, int]]:
    """Where memory lies that is this process's own and no file's (proc_pid_maps(5))."""
    with open("/proc/self/maps") as maps:
        lines = maps.read().splitlines()
    for line in lines:
        addresses, permissions, _, _, file, *name = line.split()
        if permissions == "rw-p" and file == "0" and name in ([], ["[heap]"]):
            start, end = (int(address, 16) for address in addresses.split("-"))
            yield start, end
