"""Checkpoints whose tensors are tagged ``cuda``, loaded without ``map_location``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from npu_compat.patcher import Member, Patch
from npu_compat.translation import Translation

# Before torch's own rule for cuda tags, which has 20; rules are asked in the order of the list.
_PRIORITY = 5


def checkpoint_patches(translation: Translation) -> Iterator[Patch]:
    """A rule that restores storages tagged ``cuda`` or ``cuda:1`` to the accelerator's devices."""

    def restore(storage: Any, location: str) -> Any:
        device = translation.devices.get(location)
        return None if device is None else storage.to(device=device)

    def tag(_: Any) -> None:
        return None

    rule = (_PRIORITY, tag, restore)
    yield Member(torch.serialization._package_registry, rule, "checkpoints tagged cuda")
