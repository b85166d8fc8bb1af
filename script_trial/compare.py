"""How far the results of several runs are apart, frames or weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def differences(first: list[str], second: list[str]) -> dict[str, float] | None:
    """Between two lists of ``.npy`` files, all of one shape at each place.

    Returns:
        largest, mean: difference of all values, and the share that differs; `levels`: the mean of that array of bytes
        that differs most, and `relative`: the same of other arrays, relative to the mean size of the first's values.
        None where they cannot be compared: their number or a shape is not the same, or they are no numbers.
    """
    pairs = [(np.load(a), np.load(b)) for a, b in zip(first, second, strict=False)]
    if (
        not pairs
        or len(first) != len(second)
        or any(a.shape != b.shape or _is_text(a) or _is_text(b) for a, b in pairs)
    ):
        return None
    apart = [(a, _distances(a, b)) for a, b in pairs if a.size]
    every = np.concatenate([distances.ravel() for _, distances in apart]) if apart else np.zeros(1)
    means: dict[bool, list[float]] = {True: [0.0], False: [0.0]}
    for a, distances in apart:
        size = 1.0 if a.dtype == np.uint8 else max(float(np.abs(a).mean(dtype=np.float64)), 1e-30)
        means[a.dtype == np.uint8].append(float(distances.mean()) / size)
    return {
        "largest": float(every.max()),
        "mean": float(every.mean()),
        "share": float((every > 0).mean()),
        "levels": _most(means[True]),
        "relative": _most(means[False]),
    }


def _most(values: list[float]) -> float:
    """The largest, and what is no number rather than any."""
    return float(np.max(values))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whole numbers that differ are 1 apart at least, however large they are."""
    if a.dtype.kind in "biu" and b.dtype.kind in "biu":
        return np.where(a == b, 0.0, np.maximum(np.abs(a.astype(np.float64) - b.astype(np.float64)), 1.0))
    wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
    return np.abs(a.astype(wide) - b.astype(wide))


def _is_text(array: np.ndarray) -> bool:
    return array.dtype.kind not in "biufc"


def compare(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, Any]:
    """Between the results of two runs, see `Results`, as many of each kind in both.

    Returns:
        frames: see `differences`, of the arrays, and whether all are ``pictures``, in levels; None where they cannot be
            compared, or there are none.
        words: the name of the first array of words, or of other things than numbers, that is not the same; else "".
        failed: "", since they were compared.
        weights, where, unlike: see `weights_apart`, of the tensors.
    """
    arrays, tensors = (
        [[one for one in run if one["kind"] == kind] for run in (first, second)] for kind in ("array", "tensors")
    )
    numbers = [[one for one in run if not _is_text(np.load(one["array"], mmap_mode="r"))] for run in arrays]
    frames: dict[str, Any] | None = differences(*([one["array"] for one in run] for run in numbers))
    if frames is not None:
        frames["pictures"] = all(one["dtype"] == "uint8" for one in numbers[0])
    return {"frames": frames, "words": _other_words(*arrays), "failed": "", **weights_apart(*tensors)}


def _other_words(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> str:
    for one, other in zip(first, second, strict=True):
        if one["digest"] != other["digest"] and any(_is_text(np.load(each["array"])) for each in (one, other)):
            return str(one["name"]) or "an array"
    return ""


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
    if not a.is_floating_point() and not a.is_complex():  # whole numbers, of which a double does not hold all
        return max(float((a.double() - b.double()).abs().max()), 1.0)
    wide = torch.complex128 if a.is_complex() else torch.float64
    a, b = a.to(wide), b.to(wide)
    difference = (a - b).abs()
    return float(torch.minimum(difference, difference / a.abs().clamp_min(1e-30)).max())


def _kind(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
