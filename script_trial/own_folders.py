"""A script writes into the folder that its trial gave it: nothing of its user's is written over, moved or removed.

All ways run at once, so that a place outside would be written to by all of them, too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

#: Events of `sys.addaudithook` that change something, and what their arguments are: a `file` that a path leads to, an
#: `entry` of a folder, which may be a link, or a `new` one; and the `folder` that these are relative to, by its number.
_CHANGES = {
    "os.chmod": "file mode folder",
    "os.chown": "file user group folder",
    "os.link": "file new folder folder",
    "os.remove": "entry folder",
    "os.removexattr": "file",
    "os.rename": "entry new folder folder",
    "os.rmdir": "entry folder",
    "os.setxattr": "file",
    "os.symlink": "target new folder",
    "os.truncate": "file",
    "os.utime": "file times nanoseconds folder",
    "shutil.rmtree": "entry folder",
    "sqlite3.connect": "file",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC

#: Where whatever a program writes is of no account, or its library's own.
_FREE = ("/dev/", "/proc/", "/sys/", "/run/")


class WritesElsewhere(PermissionError):
    """The script writes to a place outside of its folder; the message names it."""


class OwnFolders:
    """Where a script may write, and what it wrote where others do too.

    Args:
        own: folders of the trial.
        users: folders of its user, where nothing is written though they lie in one for temporary files.
        note: told of each file in a place that all ways share.

    Attributes:
        unique: places among temporary files whose names nobody else has.
        left: others that it has made there, and that nobody else had.
    """

    def __init__(self, own: Iterable[Path], users: Iterable[Path], note: Callable[[str], None]) -> None:
        self._own = [_whole(folder) for folder in own]
        self._temporary = _whole(tempfile.gettempdir())
        self._users = [one for one in map(_whole, users) if not is_in(self._temporary, one)]
        self._home = _whole(Path.home())
        self.unique: list[str] = []
        self.left: list[str] = []
        self._note = note

    def keep_to(self) -> None:
        """From now on, for the rest of the process, writing elsewhere raises WritesElsewhere."""
        sys.addaudithook(self._hear)

    def check(self, file: Any, place: str | None = None) -> None:
        """Raises WritesElsewhere for a file that is not to be written, removed or moved.

        It is in that `place`, which is what it leads to if that is not given.
        """
        if not isinstance(file, (str, bytes, os.PathLike)):
            return
        path = place or os.path.realpath(os.fsdecode(file))
        if path.startswith(_FREE) or any(is_in(path, folder) for folder in (*self._own, *self.unique)):
            return
        if _is_of_a_library(path):
            return
        if is_in(path, self._home) and os.path.relpath(path, self._home).startswith("."):
            return  # caches and settings of libraries
        if self._is_temporary(path):
            if path != self._temporary:  # of which a file without a name is made
                if not os.path.lexists(path):
                    self.left.append(path)
                self._note(f"it writes to {os.fsdecode(file)}, a place that all ways share")
            return
        raise WritesElsewhere(
            f"it would write to {os.fsdecode(file)}, outside of the folder that it is tried in, and a trial changes "
            "nothing of its user's: let it write to a relative path"
        )

    def _is_temporary(self, file: Any) -> bool:
        path = _whole(file)
        return is_in(path, self._temporary) and not any(is_in(path, folder) for folder in self._users)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if (set(mode) & set("wax+")) if isinstance(mode, str) else flags & _WRITES:
                if not isinstance(mode, str) and flags & os.O_EXCL and self._is_temporary(path):
                    self.unique.append(_whole(path))  # whose name nobody else had
                self.check(path)
        elif event == "os.mkdir":
            if not os.path.isdir(arguments[0]):
                self.check(arguments[0])
        elif event in ("tempfile.mkstemp", "tempfile.mkdtemp"):
            self.unique.append(_whole(arguments[0]))
        elif event in _CHANGES:
            self._hear_change(list(zip(_CHANGES[event].split(), arguments, strict=False)))

    def _hear_change(self, arguments: list[tuple[str, Any]]) -> None:
        if any(kind == "folder" and isinstance(one, int) and one >= 0 for kind, one in arguments):
            return
        for kind, path in arguments:
            if not isinstance(path, (str, bytes, os.PathLike)):
                continue
            if kind == "new" or (kind == "entry" and os.path.lexists(path)):
                folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
                self.check(path, os.path.join(os.path.realpath(folder), name))
            elif kind == "file" and os.path.lexists(path):
                self.check(path)


def remove_left(paths: Iterable[str]) -> None:
    """Removes what scripts have `left` among temporary files, so that no other finds it."""
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.remove(path)


def _whole(path: str | bytes | os.PathLike[Any]) -> str:
    return os.path.realpath(os.fsdecode(path))


def is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_of_a_library(path: str) -> bool:
    """Whether it is compiled code, or lies in the environment that runs it."""
    return "__pycache__" in path or any(
        is_in(path, os.path.realpath(prefix)) for prefix in (sys.prefix, sys.base_prefix)
    )
