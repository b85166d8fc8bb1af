"""TorchScript finds operators by the identity of the Python function, so it has to know the wrappers too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch.jit import _builtins

from npu_compat.patcher import Attribute, Cache, Entry, Member, Patch


def builtin_patches(patches: Iterable[Patch]) -> Iterator[Patch]:
    """For every function of torch that ``patches`` replaces: the wrapper is the same operator."""
    replaced = [p for p in patches if isinstance(p, Attribute) and p.target in (torch, torch.fft)]
    table = _builtins._builtin_table
    if table is None:  # built on first use, from the wrappers; what they replaced has to be in it as well
        yield Cache(_builtins, "_builtin_table", "torch.jit operators")
        for patch in replaced:
            raw = getattr(patch.target, patch.name)
            operator = f"aten::{getattr(raw, '__name__', patch.name)}"
            yield Member(_builtins._builtin_ops, (raw, operator), f"torch.jit operator {patch.name}")
        return
    for patch in replaced:
        known = table.get(id(getattr(patch.target, patch.name)))
        if known is not None:
            yield Entry(table, id(patch.value), known, f"torch.jit operator {patch.name}")
