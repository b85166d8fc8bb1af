"""A script with what lies beside it, laid out for one way: modules that it imports in that way's form, data as it is.

    where it lies/            ->   FOLDER/where it lies/
      train.py                       train.py             in its form
      helpers.py                     helpers.py           imported, and so in its form too
      nets/                          nets/                likewise
      other.py                                            nothing imports it
    ../nets.py                    ../nets.py              imported from a folder above
      labels.json                    labels.json          whatever the script writes there is no file of its user's

What is too large to be copied, a trial reads where it lies (`script_trial.read_elsewhere`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from porter.verify.launch_tree import Forms
from porter.verify.project_modules import project_modules

_LARGEST = 2**20
_MOST_FILES = 200
_MOST_BYTES = 2**25
_MOST_SEEN = 5000
_NEVER = ("__pycache__", "node_modules", "site-packages")


@dataclass(frozen=True)
class LaidOut:
    """A script that is laid out.

    Attributes:
        path: where it lies; `module` is what it is run as, if it is no script by itself.
        stand_for: the folders that modules are imported from, each with the one that it stands for, the script's first.
    """

    path: Path
    module: str | None
    stand_for: tuple[tuple[str, str], ...]


def lay_out(script: str, data: bytes, folder: Path, form: int, forms: Forms) -> LaidOut:
    """In form 0 (cuda) or 1 (ported) of what `forms` gives; `data` is that form of it."""
    own = os.path.dirname(os.path.abspath(script))
    modules = project_modules(script, data)
    top = os.path.commonpath([own, modules.top])
    laid_out = folder / (os.path.basename(top) or "root")
    beside = laid_out / os.path.relpath(own, top)
    beside.mkdir(parents=True)
    for path in sorted(modules.files):
        place = laid_out / os.path.relpath(path, top)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(forms(path, Path(path).read_bytes())[form])
    for path in _data(own):
        place = beside / os.path.relpath(path, own)
        with suppress(OSError):  # of somebody else, or gone meanwhile
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    place = beside / os.path.basename(script)
    place.write_bytes(data)
    folders = dict.fromkeys([*modules.folders, top])
    stand_for = tuple((os.path.normpath(laid_out / os.path.relpath(one, top)), one) for one in folders)
    return LaidOut(Path(os.path.normpath(place)), modules.module, stand_for)


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
