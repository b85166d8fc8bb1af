"""Which files a run is about: the given ones, and in the given folders those that can be ported, less the ignored."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from porter.files import relative_to
from porter.kinds import is_shell_script, kind_by_name
from porter.repository import Repository, repository_around

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

#: JSON beyond this size is data, which no program is configured by.
_LARGEST_JSON = 1 << 20

#: Folders that hold other people's files, or none to be read.
_NEVER = frozenset(
    ".git .hg .svn .venv venv .tox .nox .mypy_cache .ruff_cache .pytest_cache __pycache__ node_modules"
    " site-packages .ipynb_checkpoints".split()
)


@dataclass(frozen=True)
class Input:
    """A file of the run: `path` as shown, `inside` the given folder it was found in, `problem` why it cannot be read.

    `portable` is false for a file that only has to be carried over into a ported copy of its tree.
    """

    path: str
    inside: str | None = None
    problem: str | None = None
    portable: bool = True


def find_inputs(
    paths: Iterable[str],
    exclude: Iterable[str] = (),
    folder: str = ".",
    every_file: bool = False,
    leave_out: str | None = None,
) -> Iterator[Input]:
    """Every file once, in the order given, folders sorted by name.

    `exclude` are patterns as in .gitignore, relative to `folder`. `every_file` also yields what is not portable.
    `leave_out` is a folder never to be entered: where the output goes.
    """
    excluded = _spec(list(exclude))
    seen: set[str] = set()
    for path in paths:
        found = _walk(path, every_file, leave_out) if os.path.isdir(path) else [(os.path.realpath(path), _named(path))]
        for real, one in found:
            if real not in seen and not (excluded and excluded.match_file(relative_to(folder, one.path))):
                seen.add(real)
                yield one


def _named(path: str) -> Input:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return Input(path, problem=_problem(error))
    return Input(path, problem=None if stat.S_ISREG(mode) else "not a regular file")


def _problem(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    if error.errno == errno.ENOENT:
        return "no such file or folder"
    return error.strerror or str(error)


def _walk(top: str, every_file: bool, leave_out: str | None) -> Iterator[tuple[str, Input]]:
    """The files below a folder, each with its real path. Links are not followed to folders, nor outside of it."""
    repository = repository_around(top)
    stack = [(top, _ignores_above(top, repository))]
    while stack:
        folder, ignores = stack.pop()
        real = os.path.realpath(folder)
        if real == leave_out:
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield real, Input(folder, inside=top, problem=_problem(error))
            continue
        ignores = _with_own(folder, entries, ignores)
        folders = []
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and entry.name in _NEVER:
                continue
            if _ignored(entry, ignores) and not _is_tracked(entry, repository):
                continue
            if is_folder:
                folders.append((entry.path, ignores))
            elif (portable := _is_portable(entry)) or every_file:
                if entry.is_file(follow_symlinks=False):  # known without asking the system once more
                    yield os.path.join(real, entry.name), Input(entry.path, inside=top, portable=portable)
                elif one := _odd(entry, top, portable):
                    yield os.path.realpath(entry.path), one
        stack.extend(reversed(folders))


def _is_portable(entry: os.DirEntry[str]) -> bool:
    """Whether its kind is looked for in folders; a file that is named is taken whatever it is called."""
    if kind_by_name(entry.path) is not None:
        return not entry.name.lower().endswith(".json") or _size(entry) <= _LARGEST_JSON
    return "." not in entry.name and entry.is_file(follow_symlinks=False) and is_shell_script(entry.path)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0


def _odd(entry: os.DirEntry[str], top: str, portable: bool) -> Input | None:
    """What is neither a plain file nor a folder, if it is for this run: links and devices, say."""
    if entry.is_symlink() and _leads_outside(entry.path, top):
        return None
    if portable:
        return None if os.path.isdir(entry.path) else replace(_named(entry.path), inside=top)
    return Input(entry.path, inside=top, portable=False) if entry.is_file() else None


def _leads_outside(link: str, top: str) -> bool:
    real = os.path.realpath(link)
    return os.path.isfile(real) and not real.startswith(os.path.join(os.path.realpath(top), ""))


Ignores = tuple[tuple[str, "GitIgnoreSpec"], ...]


def _ignored(entry: os.DirEntry[str], ignores: Ignores) -> bool:
    """By the innermost .gitignore that has a word to say."""
    for base, spec in reversed(ignores):
        relative = relative_to(base, entry.path)
        verdict = spec.check_file(relative + "/" if entry.is_dir(follow_symlinks=False) else relative).include
        if verdict is not None:
            return verdict
    return False


def _is_tracked(entry: os.DirEntry[str], repository: Repository | None) -> bool:
    """Whether git tracks the file, or one in the folder, whatever .gitignore says. git is asked once, if at all."""
    if repository is None:
        return False
    return relative_to(repository.root, entry.path) in repository.tracked_though_ignored


def _with_own(folder: str, entries: list[os.DirEntry[str]], ignores: Ignores) -> Ignores:
    if any(entry.name == ".gitignore" for entry in entries):
        return (*ignores, *_read(folder, os.path.join(folder, ".gitignore")))
    return ignores


def _ignores_above(top: str, repository: Repository | None) -> Ignores:
    """What the repository around a folder ignores: its own exclude file, and each .gitignore on the way down."""
    if repository is None:
        return ()
    folders, here = [], os.path.abspath(top)
    while here != repository.root:
        here = os.path.dirname(here)
        folders.append(here)
    found = _read(repository.root, repository.exclude_file)
    for folder in reversed(folders):
        found = (*found, *_read(folder, os.path.join(folder, ".gitignore")))
    return found


def _read(base: str, path: str) -> Ignores:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ()
    spec = _spec([line for line in lines if line.strip() and not line.startswith("#")])
    return ((base, spec),) if spec else ()


def _spec(patterns: list[str]) -> GitIgnoreSpec | None:
    """pathspec is imported only where there is a pattern to match."""
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)
