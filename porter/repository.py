"""What the git repository around a folder says of its files: which it ignores, and which it tracks all the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Repository:
    """A repository by its working tree. In a worktree or a submodule `.git` is a file that names the folder meant."""

    root: str

    @cached_property
    def exclude_file(self) -> str:
        """Patterns like those of .gitignore, for this clone only."""
        return os.path.join(self._common_folder, "info", "exclude")

    @cached_property
    def tracked_though_ignored(self) -> frozenset[str]:
        """The tracked files that a pattern matches, and the folders they are in; none where git cannot say.

        Paths have forward slashes and count from the root.
        """
        import subprocess  # of use only where something is ignored

        command = ["git", "-C", self.root, "ls-files", "-z", "--cached", "--ignored", "--exclude-standard"]
        try:
            done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return frozenset()
        found: set[str] = set()
        for path in os.fsdecode(done.stdout).split("\0"):
            while path and path not in found:
                found.add(path)
                path = os.path.dirname(path)
        return frozenset(found)

    @cached_property
    def _common_folder(self) -> str:
        """Where the repository keeps what all its worktrees share."""
        git = os.path.join(self.root, ".git")
        if os.path.isfile(git):
            git = os.path.join(self.root, _line_of(git).removeprefix("gitdir:").strip())
        common = os.path.join(git, "commondir")
        return os.path.join(git, _line_of(common)) if os.path.isfile(common) else git


def repository_around(folder: str) -> Repository | None:
    """The innermost repository whose working tree a folder is in."""
    here = os.path.abspath(folder)
    while not os.path.exists(os.path.join(here, ".git")):
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above
    return Repository(here)


def files_above(path: str) -> Iterator[str]:
    """The files in the folder of `path`, or in itself, and in those above it up to the root of its repository."""
    folder = os.path.abspath(path if os.path.isdir(path) else os.path.dirname(path))
    repository = repository_around(folder)
    while True:
        with suppress(OSError):
            yield from sorted(entry.path for entry in os.scandir(folder) if entry.is_file())
        if repository is None or folder == repository.root:
            return
        folder = os.path.dirname(folder)


def _line_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline().strip()
    except OSError:
        return ""
