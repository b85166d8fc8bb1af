"""One process at a time at a file that all may replace.

Where there is flock, the file itself is locked, and looked at again once it is: another may have its name by then.
Windows replaces no file that is open, so what is locked there is an empty one of that name in the temporary folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from zlib import crc32

fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None

#: Between two looks whether a lock has become free, in seconds; msvcrt's own waiting gives up after ten of one second.
_LOOK_AGAIN = 0.02

_FLAGS = os.O_RDWR | os.O_CREAT


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Others wait until this is left. Raises OSError if the file cannot be opened; where the system has no lock for
    it (some network file systems), there is none."""
    with _locked_itself(path) if fcntl is not None else _locked_by_another(path):
        yield


@contextmanager
def _locked_itself(path: str) -> Iterator[None]:
    while True:
        file = os.open(path, _FLAGS, 0o666)
        try:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(path, file):
                yield
                return
        finally:
            os.close(file)


@contextmanager
def _locked_by_another(path: str) -> Iterator[None]:
    import tempfile  # which takes a dozen modules with it

    msvcrt: Any = import_module("msvcrt")
    name = f"diffsynth-port-{crc32(os.fsencode(os.path.normcase(os.path.realpath(path)))):08x}.lock"
    file = os.open(os.path.join(tempfile.gettempdir(), name), _FLAGS, 0o666)
    try:
        while True:
            try:
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
                break
            except OSError:
                time.sleep(_LOOK_AGAIN)
        yield
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
    finally:
        os.close(file)


def _is_at(path: str, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
