"""Memory for the weights of a unit: one piece, or several in pinned host memory, in which its tensors lie."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from diffsynth.core.device.device_types import CPU
from diffsynth.core.vram.units import Weight

# Tensors start at multiples of this many bytes, as a device's own allocator would place them.
ALIGNMENT = 512
HOST = torch.device(CPU)


def is_host(device: torch.device) -> bool:
    """Whether its memory is that of the host."""
    return device.type == CPU


def weight_bytes(weight: Weight, dtype: torch.dtype) -> int:
    """Bytes that a weight takes in a placement of `dtype`, the gap to the next included."""
    size = math.prod(weight.shape) * weight.dtype_in(dtype).itemsize
    return -(-size // ALIGNMENT) * ALIGNMENT


def total_bytes(weights: Sequence[Weight], dtype: torch.dtype) -> int:
    """Bytes that the weights take one after another."""
    return sum(weight_bytes(weight, dtype) for weight in weights)


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
    """The weights as tensors in the buffer, one after another."""
    tensors, start = [], 0
    with torch.inference_mode(False):
        for weight in weights:
            kind = weight.dtype_in(dtype)
            size = math.prod(weight.shape) * kind.itemsize
            tensors.append(buffer[start : start + size].view(kind).view(weight.shape))
            start += weight_bytes(weight, dtype)
    return tensors


def allocate_tensors(
    weights: Sequence[Weight], dtype: torch.dtype, device: torch.device, *, pinned: bool
) -> list[Tensor]:
    """Memory for the weights, not yet filled."""
    if not pinned:
        return tensors_in(allocate(total_bytes(weights, dtype), device), weights, dtype)
    tensors: dict[Weight, Tensor] = {}
    for size, share in _power_of_two_pieces(weights, dtype):
        buffer = allocate(size, device, pinned=True)
        tensors.update(zip(share, tensors_in(buffer, share, dtype), strict=True))
    return [tensors[weight] for weight in weights]


def _power_of_two_pieces(weights: Sequence[Weight], dtype: torch.dtype) -> list[tuple[int, list[Weight]]]:
    """Shares the weights out, each piece's size a power of two, or what is left.

    Pinned memory is handed out in powers of two: a single piece for all could waste almost as much as it holds.
    """
    left = sorted(weights, key=lambda weight: weight_bytes(weight, dtype), reverse=True)
    pieces = []
    while left:
        size = _power_of_two_below(total_bytes(left, dtype))
        if weight_bytes(left[0], dtype) > size:
            size *= 2
        share, used = [], 0
        for weight in left:
            if used + weight_bytes(weight, dtype) <= size:
                share.append(weight)
                used += weight_bytes(weight, dtype)
        left = [weight for weight in left if weight not in share]
        pieces.append((used, share))
    return pieces


def _power_of_two_below(size: int) -> int:
    return 1 << (max(size, 1).bit_length() - 1)
