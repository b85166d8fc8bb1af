"""Memory for the weights of a unit, one piece in which its tensors lie; and the streams on which it is filled."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from diffsynth.core.device.device_types import CPU
from diffsynth.core.loader.weights import Weight

# Tensors start at multiples of this many bytes, as a device's own allocator would place them.
ALIGNMENT = 512
HOST = torch.device(CPU)


def is_host(device: torch.device) -> bool:
    """Whether its memory is that of the host."""
    return device.type == CPU


def total_bytes(weights: Sequence[Weight], dtype: torch.dtype) -> int:
    """Bytes that the weights take one after another in a placement of `dtype`."""
    return sum(_aligned(weight.bytes_in(dtype)) for weight in weights)


def _aligned(size: int) -> int:
    """Bytes from the start of a tensor of that size to the next."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def allocate(size: int, device: torch.device, *, pinned: bool = False) -> Tensor:
    """`size` bytes, uint8, usable in and out of inference mode.

    Pinned memory that the system will not give becomes plain memory, with a warning: slower, and otherwise the same.
    """
    with torch.inference_mode(False):
        if pinned:
            try:
                return torch.empty(size, dtype=torch.uint8, device=device, pin_memory=True)
            except RuntimeError as error:
                warnings.warn(f"no pinned memory, weights will travel slower: {error}", stacklevel=2)
        return torch.empty(size, dtype=torch.uint8, device=device)


def tensors_in(buffer: Tensor, weights: Sequence[Weight], dtype: torch.dtype) -> list[Tensor]:
    """The weights in the buffer, one after another, as the modules hold them: parameters without gradient, buffers."""
    tensors, start = [], 0
    with torch.inference_mode(False):
        for weight in weights:
            size = weight.bytes_in(dtype)
            values = buffer[start : start + size].view(weight.dtype_in(dtype)).view(weight.shape)
            tensors.append(weight.over(values))
            start += _aligned(size)
    return tensors


def has_streams(device: torch.device) -> bool:
    """Whether copies to the device can run beside its computation."""
    return not is_host(device) and hasattr(torch.get_device_module(device), "Stream")


def mark(device: torch.device) -> torch.Event | None:
    """An event after the work that is queued now on the thread's current stream, or None."""
    if not has_streams(device):
        return None
    return torch.accelerator.current_stream(device).record_event()
