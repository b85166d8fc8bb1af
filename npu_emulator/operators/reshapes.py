"""Reshaping, slicing, filling and scattering, and reductions under the vendor's names."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from npu_emulator.operators.limits import require, types
from npu_emulator.operators.registry import derivative, kernel


@kernel("npu_transpose")
def transpose(self: Tensor, perm: list[int], require_contiguous: bool = True) -> Tensor:
    """The dimensions in the order ``perm``, contiguous."""
    return self.permute(perm).contiguous().clone()


@kernel("npu_transpose.out")
def transpose_out(self: Tensor, perm: list[int], require_contiguous: bool = True, *, out: Tensor) -> Tensor:
    """Into ``out``."""
    return out.copy_(self.permute(perm))


@kernel("npu_confusion_transpose")
def confusion_transpose(self: Tensor, perm: list[int], shape: list[int], transpose_first: bool) -> Tensor:
    """Permuted then reshaped (``transpose_first``), or reshaped then permuted."""
    if transpose_first:
        return self.permute(perm).reshape(shape).clone()
    return self.reshape(shape).permute(perm).clone(memory_format=torch.contiguous_format)


@kernel("npu_confusion_transpose_backward")
def confusion_transpose_backward(grad: Tensor, perm: list[int], shape: list[int], transpose_first: bool) -> Tensor:
    """The gradient; ``shape`` is that of the input, ``transpose_first`` the reverse of the forward's."""
    back = [perm.index(dim) for dim in range(len(perm))]
    if transpose_first:  # the forward reshaped first
        return grad.permute(back).reshape(shape).clone()
    permuted = [shape[dim] for dim in perm]
    return grad.reshape(permuted).permute(back).clone(memory_format=torch.contiguous_format)


@derivative("npu_confusion_transpose", of="self")
def _confusion_transpose(grad: Tensor, self: Tensor, perm: list[int], transpose_first: bool) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_confusion_transpose_backward(grad, perm, self.shape, not transpose_first)
    return gradient


@kernel("npu_reshape")
def reshape(self: Tensor, shape: list[int], can_refresh: bool = False) -> Tensor:
    """The values in another shape, as a copy."""
    return self.reshape(shape).clone()


@kernel("npu_reshape.out")
def reshape_out(self: Tensor, shape: list[int], can_refresh: bool = False, *, out: Tensor) -> Tensor:
    """Into ``out``."""
    return out.copy_(self.reshape(shape))


@kernel("npu_broadcast")
def broadcast(self: Tensor, size: list[int]) -> Tensor:
    """Expanded to ``size``, contiguous."""
    return self.expand(size).clone(memory_format=torch.contiguous_format)


@kernel("npu_broadcast.out")
def broadcast_out(self: Tensor, size: list[int], *, out: Tensor) -> Tensor:
    """Into ``out``."""
    return out.copy_(self.expand(size))


def _sliced(self: Tensor, offsets: list[int], size: list[int], operator: str) -> Tensor:
    counts = len(offsets) == len(size) == self.dim()
    require(counts, operator, "offsets and size", (offsets, size), f"{self.dim()} numbers each")
    ranges = []
    for offset, count, whole in zip(offsets, size, self.shape, strict=True):
        count = whole - offset if count == -1 else count
        inside = offset >= 0 and count >= 0 and offset + count <= whole
        require(inside, operator, "offsets and size", (offsets, size), f"within {list(self.shape)}")
        ranges.append(slice(offset, offset + count))
    return self[tuple(ranges)]


@kernel("npu_slice")
def slice_(self: Tensor, offsets: list[int], size: list[int]) -> Tensor:
    """``size`` elements from ``offsets`` on, in each dimension; -1 for the rest."""
    return _sliced(self, offsets, size, "npu_slice").clone(memory_format=torch.contiguous_format)


@kernel("npu_slice.out")
def slice_out(self: Tensor, offsets: list[int], size: list[int], *, out: Tensor) -> Tensor:
    """Into ``out``."""
    return out.copy_(_sliced(self, offsets, size, "npu_slice"))


@kernel("npu_pad")
def pad(input: Tensor, paddings: list[int]) -> Tensor:
    """Zeros before and after each dimension, in the order of the dimensions."""
    require(len(paddings) == 2 * input.dim(), "npu_pad", "paddings", paddings, f"{2 * input.dim()} numbers")
    pairs = [paddings[2 * dim : 2 * dim + 2] for dim in reversed(range(input.dim()))]
    return functional.pad(input, [number for pair in pairs for number in pair])


@kernel("npu_one_hot", values_decide=True)
def one_hot(self: Tensor, num_classes: int = -1, depth: int = 1, on_value: float = 1, off_value: float = 0) -> Tensor:
    """[..., depth] in float32 with ``on_value`` at each index."""
    types("npu_one_hot", (torch.int32, torch.int64, torch.uint8), self=self)
    hot = self[..., None].long() == torch.arange(depth)
    return torch.where(hot, float(on_value), float(off_value))


def _strided(self: Tensor, shape: list[int], stride: list[int], storage_offset: float) -> Tensor:
    return self.as_strided(shape, stride, int(storage_offset))


@kernel("npu_stride_copy")
def stride_copy(self: Tensor, shape: list[int], stride: list[int], storage_offset: float) -> Tensor:
    """A contiguous copy of a strided view."""
    return _strided(self, shape, stride, storage_offset).clone(memory_format=torch.contiguous_format)


@kernel("npu_stride_copy.out")
def stride_copy_out(self: Tensor, shape: list[int], stride: list[int], storage_offset: float, *, out: Tensor) -> Tensor:
    """Into ``out``."""
    return out.copy_(_strided(self, shape, stride, storage_offset))


@kernel("npu_view_copy")
def view_copy(self: Tensor, other: Tensor, non_blocking: bool) -> Tensor:
    """Copies other into self."""
    return self.copy_(other)


@kernel("npu_sort_v2")
def sort_v2(self: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """The sorted values."""
    return self.sort(dim, descending)[0]


@kernel("npu_sort_v2.out")
def sort_v2_out(self: Tensor, dim: int = -1, descending: bool = False, *, out: Tensor) -> Tensor:
    """Into ``out``."""
    return out.copy_(self.sort(dim, descending)[0])


@kernel("npu_max.dim")
def max_dim(self: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Maxima along ``dim``, and their indices in int32."""
    values, indices = self.max(dim, keepdim)
    return values, indices.int()


@kernel("npu_min.dim")
def min_dim(self: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Minima along ``dim``, and their indices in int32."""
    values, indices = self.min(dim, keepdim)
    return values, indices.int()


@kernel("npu_max_backward", "npu_min_backward")
def extreme_backward(grad: Tensor, dim: int, indices: Tensor, sizes: list[int], keepdim: bool) -> Tensor:
    """The gradient of the input, of shape ``sizes``."""
    if not keepdim and sizes:
        grad, indices = grad.unsqueeze(dim), indices.unsqueeze(dim)
    return grad.new_zeros(sizes).scatter_(dim, indices.long(), grad)


@derivative("npu_max.dim", of="self")
def _max_dim(grad: Tensor, self: Tensor, dim: int, result1: Tensor, keepdim: bool) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_max_backward(grad, dim, result1, self.shape, keepdim)
    return gradient


@derivative("npu_min.dim", of="self")
def _min_dim(grad: Tensor, self: Tensor, dim: int, result1: Tensor, keepdim: bool) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_min_backward(grad, dim, result1, self.shape, keepdim)
    return gradient


@kernel("npu_scatter_nd_update_", values_decide=True)
def scatter_nd_update_(self: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    """Writes updates [..., rest] into self at indices [..., k], which address its first k dimensions."""
    operator = "npu_scatter_nd_update_"
    types(operator, (torch.int32, torch.int64), indices=indices)
    depth = indices.shape[-1]
    require(depth <= self.dim(), operator, "the last dimension of indices", depth, f"at most {self.dim()}")
    wanted = [*indices.shape[:-1], *self.shape[depth:]]
    require(list(updates.shape) == wanted, operator, "updates", list(updates.shape), wanted)
    require(updates.dtype == self.dtype, operator, "updates", updates.dtype, self.dtype)
    self[tuple(indices.long().unbind(-1))] = updates
    return self


@kernel("npu_scatter_nd_update", shapes=lambda self, indices, updates: torch.empty_like(self))
def scatter_nd_update(self: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    """The same, on a copy."""
    return scatter_nd_update_(self.clone(), indices, updates)


@kernel("npu_prefetch", shapes=lambda self, dependency, max_size, offset=0: None)
def prefetch(self: Tensor, dependency: Tensor | None, max_size: int, offset: int = 0) -> None:
    """Nothing: the host has no cache to fill ahead."""
    size = self.numel() * self.element_size()
    require(0 <= offset <= size, "npu_prefetch", "offset", offset, f"0 to {size} bytes")
