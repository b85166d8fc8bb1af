"""What a script reads where it runs, and its user has elsewhere: it is seen in both folders, and changed in the first.

The folder that a script runs in lies over its user's: whatever is not here is read there, listed with what is here, and
taken away here alone. A folder of its user's is made here once the script has seen it, for files to be put into it; a
file is copied here before it is changed. What a link leads to is seen in the link's place.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import functools
import io
import os
import pathlib
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from script_trial.own_folders import is_in
from script_trial.written_files import is_to_go_on

#: A folder where a script looks, and the one that it stands for.
StandsFor = tuple[Path, Path]

#: Functions of libraries that are given a path and open it without Python, by the module that holds them.
READERS = {
    "cv2": ("imread", "VideoCapture"),
    "safetensors": ("safe_open",),
    "safetensors.torch": ("safe_open",),
    "safetensors.numpy": ("safe_open",),
    "soundfile": ("read", "info", "SoundFile"),
    "imageio": ("imread", "get_reader", "mimread"),
    "imageio.v2": ("imread", "get_reader", "mimread"),
    "imageio.v3": ("imread", "imiter", "improps", "immeta"),
    "torchaudio": ("load", "info"),
    "torchvision.io": ("read_file", "read_image", "read_video", "decode_image"),
    "av": ("open",),
    "decord": ("VideoReader", "AudioReader"),
}
#: Those that may write to it as well.
CHANGERS = {"sqlite3": ("connect",)}

_stat, _scandir, _mkdir = os.stat, os.scandir, os.mkdir  # the real ones
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_SETS = (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids)


def read_elsewhere(folders: Sequence[StandsFor]) -> Elsewhere:
    """From now on, for the rest of the process, what is missing in one of these folders is read in the other."""
    elsewhere = Elsewhere(folders)
    for module, name, function in elsewhere.functions():
        own = getattr(module, name)
        wrapped = functools.wraps(own)(_by_path(function) if module is os else function)
        for functions in _SETS:
            if own in functions:
                functions.add(wrapped)
        setattr(module, name, wrapped)
        accessor = getattr(pathlib, "_NormalAccessor", None)  # it holds them, before Python 3.11
        if getattr(accessor, name, None) is own:
            setattr(accessor, name, staticmethod(wrapped))
    return elsewhere


class Elsewhere:
    """Where the files and folders are that a script reads."""

    def __init__(self, folders: Sequence[StandsFor]) -> None:
        self._folders = [(str(here), str(there)) for here, there in folders]
        self._gone: set[str] = set()
        self._busy = threading.local()
        self._is_over = False

    def end(self) -> None:
        """From now on only what is here is seen."""
        self._is_over = True

    def functions(self) -> Iterable[tuple[Any, str, Callable[..., Any]]]:
        """What is done in place of which functions."""
        yield from ((module, "open", self._opening(io.open)) for module in (builtins, io))
        yield os, "open", self._opening_number(os.open)
        yield from ((os, name, self._seen(getattr(os, name))) for name in ("stat", "lstat", "chdir"))
        yield os, "access", self._accessed(os.access)
        yield os, "listdir", self._listed(os.listdir)
        yield os, "scandir", self._scanned(os.scandir)
        yield from ((os, name, self._reading(getattr(os, name))) for name in ("listxattr", "getxattr", "statvfs"))
        yield from ((os, name, self._changing(getattr(os, name))) for name in ("utime", "chmod", "truncate", "link"))
        yield from ((os, name, self._removed(getattr(os, name))) for name in ("remove", "unlink"))
        yield os, "rmdir", self._removed_empty(os.rmdir)
        yield shutil, "rmtree", self._removed_whole(shutil.rmtree)
        yield from ((os, name, self._moved(getattr(os, name))) for name in ("rename", "replace"))

    def readers(self) -> dict[str, Callable[[ModuleSpec], None]]:
        """By the module of `READERS` and `CHANGERS`, what has its functions find files as well."""

        def have(spec: ModuleSpec) -> None:
            module = sys.modules[spec.name]
            finding = self._changing if spec.name in CHANGERS else self._reading
            for name in (READERS | CHANGERS)[spec.name]:
                if callable(own := getattr(module, name, None)):
                    setattr(module, name, finding(own))

        return dict.fromkeys(READERS | CHANGERS, have)

    def file(self, path: Any) -> Any:
        """Where it is, if it is a file that is not here; else the path itself."""
        there = self._there(path)
        return there if there is not None and _is_file(there) else path

    def make_room(self, path: Any) -> None:
        """What is going to be written lies in a folder that is here, if its user has that folder."""
        if isinstance(path, (str, bytes, os.PathLike)):
            self._made_here(os.path.dirname(os.path.abspath(os.fsdecode(path))))

    def bring(self, path: Any) -> None:
        """A file that is going to be changed is here, if there is one."""
        self.make_room(path)
        if (there := self.file(path)) is not path:
            with self._only_here():
                shutil.copy2(there, path)

    def _bring_whole(self, path: Any) -> None:
        """So is a folder, with all that is in it."""
        self.bring(path)
        there = self._there(path, is_here_too=True)
        if there is not None and _is_folder(there):
            for name in os.listdir(path):
                self._bring_whole(os.path.join(path, name))

    def _there(self, path: Any, is_here_too: bool = False) -> str | None:
        """Where something is that is not here, unless it `is_here_too`."""
        if self._is_over or getattr(self._busy, "now", False) or not isinstance(path, (str, bytes, os.PathLike)):
            return None
        whole = os.path.abspath(os.fsdecode(path))
        if not is_here_too and _lies(whole):
            return None
        if is_to_go_on(Path(whole, "any")) or any(is_in(whole, one) for one in self._gone):
            return None
        for here, elsewhere in self._folders:
            if is_in(whole, here):
                there = os.path.join(elsewhere, os.path.relpath(whole, here))
                if _lies(there):
                    return os.path.realpath(there)
        return None

    def _made_here(self, path: Any) -> bool:
        """Whether this is a folder that is not here, and now is."""
        there = self._there(path)
        if there is None or not _is_folder(there):
            return False
        missing = [os.path.abspath(os.fsdecode(path))]
        while not _lies(os.path.dirname(missing[-1])):
            missing.append(os.path.dirname(missing[-1]))
        with self._only_here():  # what hears of it may look at the path
            for folder in reversed(missing):
                with contextlib.suppress(FileExistsError):
                    _mkdir(folder)
        return True

    @contextlib.contextmanager
    def _only_here(self) -> Iterator[None]:
        self._busy.now = True
        try:
            yield
        finally:
            self._busy.now = False

    def _opening(self, own: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if set(mode) & set("wx"):
                self.make_room(file)
            elif set(mode) & set("a+"):
                self.bring(file)
            else:
                file = self.file(file)
            return own(file, mode, *args, **kwargs)

        return opened

    def _opening_number(self, own: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> Any:
            if flags & (os.O_TRUNC | os.O_EXCL):
                self.make_room(path)
            elif flags & _WRITES:
                self.bring(path)
            elif not self._made_here(path):
                path = self.file(path)
            return own(path, flags, *args, **kwargs)

        return opened

    def _reading(self, own: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(own)
        def read(file: Any, *args: Any, **kwargs: Any) -> Any:
            return own(self.file(file), *args, **kwargs)

        return read

    def _changing(self, own: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(own)
        def changed(file: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._made_here(file):
                self.bring(file)
            return own(file, *args, **kwargs)

        return changed

    def _seen(self, own: Callable[..., Any]) -> Callable[..., Any]:
        def seen(path: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return own(path, *args, **kwargs)
            except FileNotFoundError:
                there = self._there(path)
                if there is None:
                    raise
            return own(path if self._made_here(path) else there, *args, **kwargs)

        return seen

    def _accessed(self, own: Callable[..., bool]) -> Callable[..., bool]:
        def accessed(path: Any, *args: Any, **kwargs: Any) -> bool:
            if not self._made_here(path):
                path = self.file(path)
            return own(path, *args, **kwargs)

        return accessed

    def _listed(self, own: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def listed(path: Any = None) -> list[Any]:
            asked = "." if path is None else path
            self._made_here(asked)
            names = own(asked)
            return [*names, *(entry.name for entry in self._more(_place(asked), names))]

        return listed

    def _scanned(self, own: Callable[..., Any]) -> Callable[..., Any]:
        def scanned(path: Any = None) -> Any:
            asked = "." if path is None else path
            self._made_here(asked)
            if self._there(_place(asked), is_here_too=True) is None:
                return own(asked)
            with own(asked) as entries:
                here = list(entries)
            return _Entries([*here, *self._more(_place(asked), [entry.name for entry in here])])

        return scanned

    def _more(self, folder: Any, names: Iterable[Any]) -> Iterator[_Entry]:
        """What is in the other folder besides."""
        there = self._there(folder, is_here_too=True)
        if there is None or not _is_folder(there):
            return
        known = set(map(os.fsdecode, names))
        with _scandir(there) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                name = os.fsencode(entry.name) if isinstance(folder, bytes) else entry.name
                path = os.path.join(os.fspath(folder), name)
                if entry.name not in known and self._there(path) is not None:
                    yield _Entry(entry, name, path)

    def _removed(self, own: Callable[..., None]) -> Callable[..., None]:
        def removed(path: Any, *args: Any, **kwargs: Any) -> None:
            if self.file(path) is path:
                own(path, *args, **kwargs)
            self._gone.add(os.path.abspath(os.fsdecode(path)))

        return removed

    def _removed_empty(self, own: Callable[..., None]) -> Callable[..., None]:
        def removed(path: Any, *args: Any, **kwargs: Any) -> None:
            self._made_here(path)
            if any(self._more(path, ())):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
            own(path, *args, **kwargs)
            self._gone.add(os.path.abspath(os.fsdecode(path)))

        return removed

    def _removed_whole(self, own: Callable[..., None]) -> Callable[..., None]:
        def removed(path: Any, *args: Any, **kwargs: Any) -> None:
            if kwargs.get("dir_fd") is None:  # else what it calls is given it, and found by its path
                self._made_here(path)
                self._gone.add(os.path.abspath(os.fsdecode(path)))  # already: what is not here is not to be found
            own(path, *args, **kwargs)

        return removed

    def _moved(self, own: Callable[..., None]) -> Callable[..., None]:
        def moved(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
            src, dst = _place(src, src_dir_fd), _place(dst, dst_dir_fd)
            self._bring_whole(src)
            self.make_room(dst)
            own(src, dst)
            self._gone.add(os.path.abspath(os.fsdecode(src)))

        return moved


class _Entry:
    """An `os.DirEntry` as if it were in another folder, and no link."""

    def __init__(self, entry: Any, name: Any, path: Any) -> None:
        self._entry, self.name, self.path = entry, name, path

    def __fspath__(self) -> Any:
        return self.path

    def is_symlink(self) -> bool:
        return False

    def is_dir(self, *, follow_symlinks: bool = True) -> Any:
        return self._entry.is_dir()

    def is_file(self, *, follow_symlinks: bool = True) -> Any:
        return self._entry.is_file()

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        return os.stat(self.path)

    def inode(self) -> Any:
        return self.stat().st_ino


class _Entries(Iterator[Any]):
    """What `os.scandir` gives."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...


def _by_path(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same of a path below an opened folder, `dir_fd`."""

    def called(*args: Any, dir_fd: int | None = None, **kwargs: Any) -> Any:
        if dir_fd is not None and args:
            args = (_place(args[0], dir_fd), *args[1:])
        elif dir_fd is not None:
            kwargs["path"] = _place(kwargs.get("path"), dir_fd)
        return function(*args, **kwargs)

    return called


def _place(path: Any, opened: int | None = None) -> Any:
    """Where a path below an `opened` folder leads, or where an opened folder itself lies; else the path."""
    if isinstance(path, int) and opened is None:
        return os.readlink(f"/proc/self/fd/{path}")
    if opened is None or not isinstance(path, (str, bytes, os.PathLike)):
        return path
    return os.path.join(os.readlink(f"/proc/self/fd/{opened}"), os.fsdecode(path))


def _lies(path: str) -> bool:
    """Whether there is something at a path. The real function: this is asked in the ones that stand for it."""
    try:
        _stat(path)
    except (OSError, ValueError):
        return False
    return True


def _is_file(path: str) -> bool:
    return stat.S_ISREG(_stat(path).st_mode)


def _is_folder(path: str) -> bool:
    return stat.S_ISDIR(_stat(path).st_mode)
