"""Where a launched script lies: as seen from the shell script, from a folder above it, or from where we are.

A launch script is run from a folder of its author's choice, the root of the repository as a rule.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from porter.shell.values import HERE, UNKNOWN


def find_script(script: str, shell_script: str, folder: str = "") -> str | None:
    """The path of the launched script; None where no file is there.

    Of a path that begins with what only a run can tell, the rest is looked for: `$ROOT/examples/train.py`. `folder` is
    where the shell script goes before, by `cd`.
    """
    if folder and not script.startswith((HERE, UNKNOWN, "/")):
        return find_script(f"{folder}/{script}", shell_script) or find_script(script, shell_script)
    own = os.path.dirname(os.path.abspath(shell_script))
    if script.startswith(HERE):
        return _file(own + script.removeprefix(HERE))
    known = script.rpartition(UNKNOWN)[2].rpartition(HERE)[2]
    if known != script:
        known = known.lstrip("/")
    if os.path.isabs(known):
        return _file(known)
    found = (_file(os.path.join(base, known)) for base in (os.getcwd(), *folders_above(own)))
    return next((path for path in found if path), None)


def folders_above(folder: str) -> Iterator[str]:
    """The folder and those above it, up to the root of its repository or project."""
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder or _is_root(folder):
            return
        folder = above


def _is_root(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in (".git", "pyproject.toml", "setup.py"))


def _file(path: str) -> str | None:
    return os.path.normpath(path) if os.path.isfile(path) else None
