"""What torch.nn.DataParallel needs and torch has in CUDA builds alone: spreading tensors and collecting them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.cuda import comm as cuda_comm
from torch.nn.parallel import comm

from npu_compat import wrappers
from npu_compat.accelerators import Accelerator
from npu_compat.patcher import Attribute, Patch


def data_parallel_patches(accelerator: Accelerator) -> Iterator[Patch]:
    """Patches of torch.nn.parallel.comm and torch.cuda.comm."""

    def place(device: Any) -> torch.device:
        if isinstance(device, int):
            return torch.device("cpu") if device < 0 else torch.device(accelerator.name, device)
        return torch.device(device)

    def broadcast(tensor: torch.Tensor, devices: Any = None, *, out: Any = None) -> Any:
        if out is not None:
            return tuple(target.copy_(tensor) for target in out)
        return tuple(tensor.to(place(device)) for device in devices)

    def broadcast_coalesced(tensors: Sequence[torch.Tensor], devices: Sequence[Any], buffer_size: int = 0) -> Any:
        return [[tensor.to(place(device)) for tensor in tensors] for device in devices]

    def reduce_add(inputs: Sequence[torch.Tensor], destination: Any = None) -> torch.Tensor:
        target = inputs[0].device if destination is None else place(destination)
        total = inputs[0].to(target, copy=True)
        for tensor in inputs[1:]:
            total.add_(tensor.to(target))
        return total

    def reduce_add_coalesced(inputs: Any, destination: Any = None, buffer_size: int = 0) -> Any:
        return tuple(reduce_add(parts, destination) for parts in zip(*inputs, strict=True))

    def scatter(
        tensor: torch.Tensor,
        devices: Any = None,
        chunk_sizes: Any = None,
        dim: int = 0,
        streams: Any = None,
        *,
        out: Any = None,
    ) -> Any:
        if out is not None:
            parts = torch.split(tensor, [target.size(dim) for target in out], dim)
            return tuple(target.copy_(part) for target, part in zip(out, parts, strict=True))
        parts = tensor.chunk(len(devices), dim) if chunk_sizes is None else torch.split(tensor, list(chunk_sizes), dim)
        return tuple(part.to(place(device)).contiguous() for part, device in zip(parts, devices, strict=False))

    def gather(tensors: Any, dim: int = 0, destination: Any = None, *, out: Any = None) -> torch.Tensor:
        target = (tensors[0].device if destination is None else place(destination)) if out is None else out.device
        whole = torch.cat([tensor.to(target) for tensor in tensors], dim)
        return whole if out is None else out.copy_(whole)

    for function in (broadcast, broadcast_coalesced, reduce_add, reduce_add_coalesced, scatter, gather):
        name = function.__name__
        for owner in (comm, cuda_comm):
            if hasattr(owner, name):
                replaced = wrappers.like(function, getattr(comm, name))
                yield Attribute(owner, name, replaced, f"{owner.__name__}.{name}")
