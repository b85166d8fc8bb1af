"""A script with what lies beside it, laid out for one way: modules that it imports in that way's form, data as it is.

    where it lies/            ->   FOLDER/where it lies/
      train.py                       train.py             in its form
      helpers.py                     helpers.py           imported, and so in its form too
      nets/                          nets/                likewise
      other.py                                            nothing imports it
      labels.json                    labels.json          whatever the script writes there is no file of its user's

What is too large to be copied, a trial reads where it lies (`script_trial.read_elsewhere`).
"""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from porter.verify.launch_tree import Forms
from script_trial.known_adapters import libraries

_LARGEST = 2**20
_MOST_FILES = 200
_MOST_BYTES = 2**25
_MOST_SEEN = 5000
_NEVER = ("__pycache__", "node_modules", "site-packages")


def lay_out(script: str, data: bytes, folder: Path, form: int, forms: Forms) -> Path:
    """Where the script lies then, in form 0 (cuda) or 1 (ported) of what `forms` gives; `data` is that form of it."""
    own = os.path.dirname(os.path.abspath(script))
    beside = folder / (os.path.basename(own) or "root")
    beside.mkdir(parents=True)
    for path in sorted(imported_modules(data, own)):
        place = beside / os.path.relpath(path, own)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(forms(path, Path(path).read_bytes())[form])
    for path in _data(own):
        place = beside / os.path.relpath(path, own)
        with suppress(OSError):  # of somebody else, or gone meanwhile
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    laid_out = beside / os.path.basename(script)
    laid_out.write_bytes(data)
    return laid_out


def imported_modules(data: bytes, folder: str) -> set[str]:
    """The modules in a folder that a script there imports, by name and through each other; of packages all."""
    found: set[str] = set()
    waiting = [data]
    while waiting:
        for name in _imported_names(waiting.pop()) - libraries():
            for path in _modules(os.path.join(folder, name)):
                if path not in found and len(found) < _MOST_FILES:
                    found.add(path)
                    waiting.append(Path(path).read_bytes())
    return found


def _imported_names(data: bytes) -> set[str]:
    """Names of top-level modules."""
    try:
        nodes = list(ast.walk(ast.parse(data)))
    except (SyntaxError, ValueError):
        return set()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


def _modules(place: str) -> Iterator[str]:
    """The files of a module, which may be a package."""
    if os.path.isfile(f"{place}.py"):
        yield f"{place}.py"
    elif os.path.isdir(place):
        yield from (str(path) for path in sorted(Path(place).rglob("*.py")) if path.is_file())


def _data(folder: str) -> Iterator[str]:
    """Small files below a folder that are no modules, as many as are no burden."""
    seen = files = size = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_passed_over(os.path.join(place, name)))
        seen += len(folders) + len(names)
        if seen > _MOST_SEEN:
            return
        for path in (os.path.join(place, name) for name in sorted(names) if not name.endswith((".py", ".pyc"))):
            if not os.path.isfile(path) or (own := os.path.getsize(path)) > _LARGEST:
                continue
            files, size = files + 1, size + own
            if files > _MOST_FILES or size > _MOST_BYTES:
                return
            yield path


def _is_passed_over(folder: str) -> bool:
    name = os.path.basename(folder)
    is_environment = os.path.exists(os.path.join(folder, "pyvenv.cfg"))
    return name.startswith(".") or name in _NEVER or is_environment or os.path.islink(folder)
