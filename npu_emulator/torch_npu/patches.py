"""Putting torch_npu's names in the place of torch's, by which serving libraries swap the profiler."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from typing import Any

import torch


def _apply_patches(monkey_patches: Iterable[Iterable[Any]]) -> None:
    """Sets each ``torch.PATH`` to a value: ``[["profiler.profile", torch_npu.profiler.profile]]``.

    Of a module that is there already only the names in the ``__all__`` of the value are set. Modules that torch does
    not have are made on the way.
    """
    for path, value in monkey_patches:
        *above, name = path.split(".")
        owner: Any = torch
        for part in above:
            if not hasattr(owner, part):
                made = types.ModuleType(f"{owner.__name__}.{part}")
                sys.modules[made.__name__] = made
                setattr(owner, part, made)
            owner = getattr(owner, part)
        if not isinstance(value, types.ModuleType):
            setattr(owner, name, value)
        elif hasattr(owner, name) and hasattr(value, "__all__"):
            for public in value.__all__:
                setattr(getattr(owner, name), public, getattr(value, public))
        else:
            setattr(owner, name, value)
            sys.modules[f"{owner.__name__}.{name}"] = value


def _apply_all_patches() -> None:
    """Nothing to do: what the emulator changes in torch is in place once it is on."""
