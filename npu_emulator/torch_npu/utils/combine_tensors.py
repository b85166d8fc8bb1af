"""One tensor over the memory of many, by which fused optimizers step all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def _storage_size(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.element_size()


def npu_combine_tensors(list_of_tensor: Sequence[Tensor], require_copy_value: bool = True) -> Tensor | None:
    """Moves tensors into one, [total], and returns it; None if there is nothing to move.

    Raises:
        RuntimeError: one is None, not on npu, not contiguous, or of another type.
    """
    if len(list_of_tensor) == 0:
        return None
    if any(tensor is None for tensor in list_of_tensor):
        raise RuntimeError("Tensors to combine must not have `None`.")
    _check(list_of_tensor)
    sizes = [_storage_size(tensor) for tensor in list_of_tensor]
    if sum(sizes) == 0:
        return None
    combined = torch.zeros(sum(sizes), dtype=list_of_tensor[0].dtype, device=list_of_tensor[0].device)
    at = 0
    for tensor, size in zip(list_of_tensor, sizes, strict=True):
        part = combined[at : at + tensor.numel()].view(tensor.shape)
        if require_copy_value:
            part.copy_(tensor.detach())
        tensor.data = part
        at += size
    return combined


def _check(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        if tensor.dtype != tensors[0].dtype:
            raise RuntimeError(f"Tensors to combine must have the same dtype: {tensors[0].dtype} and {tensor.dtype}.")
        if tensor.device.type != "npu":
            raise RuntimeError(f"Tensors to combine must be on NPU, got {tensor.device.type}.")
        if not tensor.is_contiguous():
            raise RuntimeError("Tensors to combine must be contiguous.")


def get_part_combined_tensor(combined_tensor: Tensor | None, index: int, size: int) -> Tensor | None:
    """``size`` elements of a combined tensor from ``index`` on, over the same memory.

    Raises:
        RuntimeError: it has not as many.
    """
    if combined_tensor is None or size == 0:
        return None
    if index + size > _storage_size(combined_tensor):
        raise RuntimeError(
            f"(index + size) ({index + size}) > size of the combined tensor ({_storage_size(combined_tensor)})"
        )
    return combined_tensor[index : index + size]


def is_combined_tensor_valid(combined_tensor: Tensor | None, list_of_tensor: Sequence[Any]) -> bool:
    """Whether the tensors still lie in the memory of the combined one."""
    if len(list_of_tensor) == 0:
        return True
    if combined_tensor is None:
        return False
    start = combined_tensor.data_ptr()
    end = start + _storage_size(combined_tensor) * combined_tensor.element_size()
    return all(
        tensor is not None and start <= tensor.data_ptr() < end and tensor.is_contiguous() for tensor in list_of_tensor
    )
