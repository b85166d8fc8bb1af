"""Files that hold more than one network, or more of it than is used: which tensors are whose, under which names."""

from __future__ import annotations

from collections.abc import Iterable


def without_vace(keys: Iterable[str]) -> dict[str, str]:
    """The DiT of a file that holds VACE's blocks as well."""
    return {key: key for key in keys if not key.startswith("vace_")}


def only_vace(keys: Iterable[str]) -> dict[str, str]:
    """What `without_vace` leaves out."""
    return {key: key for key in keys if key.startswith("vace_")}


def picture_half(keys: Iterable[str]) -> dict[str, str]:
    """Of a CLIP, what makes the features that enter the last layer of its picture half."""
    own = [key for key in keys if key.startswith("visual.")]
    layers = {key: int(key.split(".")[2]) for key in own if key.startswith("visual.transformer.")}
    if not layers:
        return {}
    last = max(layers.values())
    unused = ("visual.post_norm.", "visual.head")
    return {key: key for key in own if layers.get(key) != last and not key.startswith(unused)}
