"""How far the results of several runs are apart, frames or weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def differences(first: list[str], second: list[str]) -> dict[str, float] | None:
    """Between two lists of ``.npy`` files: the largest and the mean difference in levels, and the share that differs.

    None where they cannot be compared: their number or a shape is not the same.
    """
    pairs = [(np.load(a), np.load(b)) for a, b in zip(first, second, strict=False)]
    if not pairs or len(first) != len(second) or any(a.shape != b.shape or a.dtype.kind in "US" for a, b in pairs):
        return None
    apart = np.concatenate([np.abs(a.astype(np.float64) - b.astype(np.float64)).ravel() for a, b in pairs])
    return {"largest": float(apart.max()), "mean": float(apart.mean()), "share": float((apart > 0).mean())}


def compare(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, Any]:
    """Between the results of two runs, see `Results`, as many of each kind in both.

    Returns:
        frames: see `differences`, of the arrays, and whether their ``levels`` are those of pictures; None where they
            cannot be compared, or there are none.
        weights, where, unlike: see `weights_apart`, of the tensors.
    """
    arrays, tensors = (
        [[one for one in run if one["kind"] == kind] for run in (first, second)] for kind in ("array", "tensors")
    )
    frames: dict[str, Any] | None = differences(*([one["array"] for one in run] for run in arrays))
    if frames is not None:
        frames["levels"] = all(one["dtype"] == "uint8" for one in arrays[0])
    return {"frames": frames, **weights_apart(*tensors)}


def weights_apart(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, Any]:
    """Between the tensors of two equally long lists of results.

    Returns:
        weights: the largest difference, as such or relative to its value, whichever is less; `where` is its tensor.
        unlike: in words, the first tensor that only one of two files has, or that differs in shape or type; else "".
    """
    apart: dict[str, Any] = {"weights": 0.0, "where": "", "unlike": ""}
    for one, other in zip(first, second, strict=True):
        if one["digest"] == other["digest"]:
            continue
        name = Path(one["name"]).name
        expected, found = _read(Path(one["array"])), _read(Path(other["array"]))
        only_one = sorted(set(expected) ^ set(found))
        if only_one:
            return {**apart, "unlike": f"{only_one[0]} is only in one {name}"}
        for key, a in expected.items():
            b = found[key]
            if a.shape != b.shape or a.dtype != b.dtype:
                return {**apart, "unlike": f"{key} of {name} is {_kind(b)}, not {_kind(a)}"}
            least = _apart(a, b)
            if not least <= apart["weights"]:  # also where it is no number
                apart |= {"weights": least, "where": f"{key} of {name}"}
    return apart


def _read(file: Path) -> dict[str, Any]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    import torch

    return dict(torch.load(file, map_location="cpu", weights_only=True))


def _apart(a: Any, b: Any) -> float:
    import torch

    if not a.numel() or torch.equal(a, b):
        return 0.0
    a, b = a.double(), b.double()
    difference = (a - b).abs()
    return float(torch.minimum(difference, difference / a.abs().clamp_min(1e-30)).max())


def _kind(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
