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
    below = {key.removeprefix("visual."): key for key in keys if key.startswith("visual.")}
    layers = {name: int(name.split(".")[1]) for name in below if name.startswith("transformer.")}
    if not layers:
        return {}
    last = max(layers.values())
    unused = ("post_norm.", "head")
    return {name: key for name, key in below.items() if layers.get(name) != last and not name.startswith(unused)}
