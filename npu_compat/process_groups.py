"""``nccl`` in torch.distributed: which backend stands for it, beside the strings that the surface table translates."""

from __future__ import annotations

from collections.abc import Iterator

import torch.distributed as dist

from npu_compat import wrappers
from npu_compat.accelerators import Accelerator
from npu_compat.patcher import ABSENT, Attribute, Entry, Patch


def process_group_patches(accelerator: Accelerator) -> Iterator[Patch]:
    """``is_nccl_available`` answers for the accelerator's backend; nothing is done by nccl unasked any more."""
    if not dist.is_available():
        return
    backend = accelerator.backend or "gloo"
    available, raw = dist.is_backend_available, dist.is_nccl_available

    def is_nccl_available() -> bool:
        return available(backend)

    for owner in (dist, dist.distributed_c10d):
        replaced = wrappers.like(is_nccl_available, raw)
        yield Attribute(owner, "is_nccl_available", replaced, "torch.distributed.is_nccl_available")
    defaults = dist.Backend.default_device_backend_map
    yield Entry(defaults, "cuda", ABSENT, "torch.distributed's default backend of cuda")
