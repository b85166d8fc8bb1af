"""Which packages an environment has: read from its folders, by the metadata there; nothing of it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass


class NoPython(Exception):
    """The interpreter that was named cannot be asked; the message says why."""


@dataclass(frozen=True)
class Installed:
    """A package by the name that is imported: where it is, and the version of what installed it."""

    location: str
    version: str | None


def search_path(python: str | None) -> list[str]:
    """The folders that a Python looks for packages in; None: this one. Raises NoPython."""
    if python is None:
        return [path for path in sys.path if path and os.path.isdir(path)]
    command = [python, "-c", "import json, sys; print(json.dumps(sys.path[1:]))"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
        paths = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise NoPython(f"--python {python}: it does not say where its packages are: {error}") from None
    return [path for path in paths if os.path.isdir(path)]


def installed_packages(names: Sequence[str], paths: Sequence[str]) -> dict[str, Installed]:
    """Those of the names that are there."""
    from importlib.metadata import distributions

    found = {name: location for name in names if (location := _location(name, paths)) is not None}
    versions: dict[str, str] = {}
    for one in distributions(path=list(paths)):
        listed = (one.read_text("top_level.txt") or "").split()
        if not listed:
            listed = sorted({part for file in one.files or () if (part := _top(str(file))) in found})
        for name in listed:
            if name in found:
                versions.setdefault(name, one.version)
    return {name: Installed(location, versions.get(name)) for name, location in found.items()}


def _top(file: str) -> str:
    first, _, rest = file.partition("/")
    return first if rest else first.removesuffix(".py")


def _location(name: str, paths: Sequence[str]) -> str | None:
    for path in paths:
        for one in (os.path.join(path, name), os.path.join(path, f"{name}.py")):
            if os.path.exists(one):
                return one
    return None
