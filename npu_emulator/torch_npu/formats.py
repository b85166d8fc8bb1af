"""Memory formats, of which host memory has one, and small functions beside the operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from npu_emulator.operators.casts import ND


def get_npu_format(tensor: Tensor) -> int:
    """Number of the memory format: always ND, 2.

    Raises:
        RuntimeError: the tensor is not on an NPU.
    """
    if tensor.device.type != "npu":
        raise RuntimeError(f"get_npu_format: expected a tensor on an NPU, but got one on {tensor.device}")
    return ND


def empty_with_format(
    size: Sequence[int],
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
    device: Any = None,
    pin_memory: bool | None = None,
    acl_format: int = ND,
) -> Tensor:
    """An uninitialized tensor on the NPU; the format says nothing here."""
    return torch.empty(size, dtype=dtype, layout=layout or torch.strided, device="npu" if device is None else device)


def copy_memory_(dst: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Copies src into dst; both lie on the same NPU and are of one type.

    Raises:
        RuntimeError: they differ in device or type.
    """
    if dst.device.type != "npu" or dst.device != src.device or dst.dtype != src.dtype:
        raise RuntimeError(
            f"copy_memory_: expected two tensors of one type on one NPU, but got {dst.dtype} on {dst.device} and "
            f"{src.dtype} on {src.device}"
        )
    return dst.copy_(src, non_blocking)


def fast_gelu(tensor: Tensor) -> Tensor:
    """x * sigmoid(1.702 * x)."""
    result: Tensor = torch.ops.npu.npu_fast_gelu(tensor)
    return result
