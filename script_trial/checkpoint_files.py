"""Files that appear whole or not at all: each is written beside its place and then renamed into it."""

from __future__ import annotations

import filecmp
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def put_file(target: Path, write: Callable[[Path], object], *, force: bool) -> Path:
    """Lets `write` make the file `target`; where it is already there with the same bytes, it stays as it is.

    Raises FileExistsError where another file is there, unless `force`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        write(partial)
        if target.exists():
            if filecmp.cmp(partial, target, shallow=False):
                return target
            if not force:
                raise FileExistsError(
                    f"{target} is already there and differs from what would be written; choose another folder, or "
                    "pass --force (force=True) to replace it"
                )
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, suffix: str) -> None:
    """Writes tensors as the published files hold them: `suffix` .safetensors, or .pth for a pickled mapping."""
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(dict(tensors), path, metadata={"format": "pt"})
        return
    import torch

    with path.open("wb") as file:  # given a path, torch.save would write its name into the file
        torch.save(dict(tensors), file)


def write_index(shard_of: Mapping[str, str], total_bytes: int, path: Path) -> None:
    """Writes the index of a sharded checkpoint: which shard holds which key."""
    index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(shard_of.items()))}
    path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
