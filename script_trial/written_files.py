"""Files that a script wrote into its working folder, read as the results that they are."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tiff", ".gif")
_ARRAYS = (".npy", ".npz")

#: Folders of what a training would go on from, which is its engine's own affair.
_TO_GO_ON = re.compile(r"\.?checkpoint-")

#: Where things are put that a script reads, or that were made up for it.
_NO_RESULTS = ("made_up",)


def written_files(folder: Path, known: set[str]) -> Iterator[tuple[str, str, Any]]:
    """Name below the folder, kind and content: an array, or of tensors what `Results` keeps. Without `known` paths.

    Of a file that is not what its name says the kind is "unread", and its bytes are the content.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or os.path.realpath(path) in known or name.parts[0] in _NO_RESULTS:
            continue
        if is_to_go_on(path):
            continue
        try:
            yield from list(_contents(path, name.as_posix()))
        except Exception:  # of whatever reads it
            yield name.as_posix(), "unread", _bytes(path)


def _contents(path: Path, name: str) -> Iterator[tuple[str, str, Any]]:
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        yield name, "array", _picture(path)
    elif suffix in _ARRAYS:
        yield from ((place, "array", array) for place, array in _arrays(path, name))
    elif suffix == ".safetensors":
        yield name, "tensors", tensors_file(path, name)


def is_to_go_on(path: Path) -> bool:
    """Whether a file lies in a folder of what a training would go on from, or below one."""
    return any(_TO_GO_ON.match(folder.name) for folder in path.parents)


def tensors_file(path: Path, name: str) -> dict[str, Any]:
    """A safetensors file as a result."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    told = {"name": name, "kind": "tensors", "bytes": path.stat().st_size, "digest": digest}
    return {**told, "finite": _all_finite(path), "array": str(path)}


def _all_finite(path: Path) -> bool:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        tensors = (file.get_tensor(key) for key in file.keys())  # noqa: SIM118 - no dict
        return all(not one.is_floating_point() or bool(one.float().isfinite().all()) for one in tensors)


def _picture(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture)[None]


def _arrays(path: Path, name: str) -> Iterator[tuple[str, Any]]:
    import numpy as np

    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        yield name, loaded
    else:
        yield from ((f"{name}:{key}", loaded[key]) for key in loaded.files)


def _bytes(path: Path) -> Any:
    import numpy as np

    return np.fromfile(path, np.uint8)
