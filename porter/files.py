"""Files: named alike on every system, read whole, locked against other processes, replaced in one step.

At every moment a file holds the old bytes or the new ones, never a part. Where there is flock, the file itself is
locked, and looked at again once it is: another may have its name by then. Windows replaces no file that is open, so
what is locked there is an empty one of that name in the temporary folder.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from zlib import crc32


def relative_to(folder: str, path: str) -> str:
    """`path`, given from the working directory, as seen from `folder`; absolute if it is on another drive."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:
        relative = os.path.abspath(path)
    return relative.replace(os.sep, "/")


_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_ANY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class CannotWrite(Exception):
    """The file was left as it is; the message says why."""


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """The bytes of a regular file and the state in which they were read. Raises OSError."""
    file = os.open(path, _READING)  # asks the system half as much as a file object does
    try:
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            raise OSError("not a regular file")
        data = piece = os.read(file, state.st_size + 1)
        while len(piece) > 0 and len(data) != state.st_size:  # it grows, or takes more than one call
            piece = os.read(file, max(state.st_size, 1 << 16))
            data += piece
        return data, state
    finally:
        os.close(file)


def check_new_file(path: str) -> None:
    """Raises CannotWrite, which names it, where no file can be written there; one that is there is not touched."""
    if os.path.isdir(path):
        raise CannotWrite(f"{path} is a folder; name a file")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise CannotWrite(f"{path}: there is no such folder; make it, or name another file")
    try:
        _try_to_write(os.path.realpath(path))
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror}; name another file") from None


def _try_to_write(path: str) -> None:
    if os.path.exists(path):
        if not os.access(path, os.W_OK):
            raise PermissionError(EACCES, "it is read-only")
        return
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # only trying tells of each mount and each right
    os.unlink(path)


def replace_file(path: str, data: bytes, read_as: os.stat_result | None = None) -> None:
    """Write `data` beside the file that `path` leads to, then put it in that file's place, with its mode and owner.

    `read_as` is the state in which the old content was read: a file that has changed since is left alone, and so
    is one without any write permission, even for a user who could write all the same. Raises CannotWrite.
    """
    try:
        now = _state(path)
        if now is not None and stat.S_ISLNK(now.st_mode):
            path = os.path.realpath(path)
            now = _state(path)
        if read_as is not None and (now is None or _changed(read_as, now)):
            raise CannotWrite("it was changed or deleted meanwhile; run again")
        if now is not None and (not now.st_mode & _ANY_WRITE or not os.access(path, os.W_OK)):
            raise CannotWrite("it is read-only; make it writable first")
        _put_in_place(path, data, now)
    except OSError as error:
        raise CannotWrite(error.strerror or str(error)) from None


def _put_in_place(path: str, data: bytes, like: os.stat_result | None) -> None:
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        _write_beside(beside, data, like)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _write_beside(beside: str, data: bytes, like: os.stat_result | None) -> None:
    mode = 0o666 if like is None else stat.S_IMODE(like.st_mode)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        if like is not None:  # asked before it is set, which costs several times as much
            new = os.fstat(file.fileno())
            if stat.S_IMODE(new.st_mode) != mode:
                os.chmod(beside, mode)
            if hasattr(os, "chown") and os.geteuid() == 0 and (new.st_uid, new.st_gid) != (like.st_uid, like.st_gid):
                os.chown(beside, like.st_uid, like.st_gid)


def _state(path: str) -> os.stat_result | None:
    """The state of what has this name, were it a link."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _changed(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_mtime_ns, before.st_size, before.st_ino) != (now.st_mtime_ns, now.st_size, now.st_ino)


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
