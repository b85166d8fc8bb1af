"""Dropout by a mask of bits: eight elements a byte, in whole units of 128 elements."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from npu_emulator.operators.limits import FLOATS, limit, require, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import derivative, kernel

_UNIT = 128
_SHIFTS = tuple(range(8))


def packed_size(count: int) -> int:
    """Bytes of the mask of ``count`` elements."""
    return (count + _UNIT - 1) // _UNIT * _UNIT // 8


def pack(keeps: Tensor) -> Tensor:
    """One element a bit, the first in the lowest."""
    filled = keeps.new_zeros(packed_size(keeps.numel()) * 8, dtype=torch.uint8)
    filled[: keeps.numel()] = keeps.flatten().to(torch.uint8)
    shifts = torch.tensor(_SHIFTS, dtype=torch.uint8, device=keeps.device)
    return (filled.view(-1, 8) << shifts).sum(-1, dtype=torch.uint8)


def unpack(mask: Tensor, count: int) -> Tensor:
    """The first ``count`` elements of a mask, True where one is kept."""
    require(mask.numel() * 8 >= count, "dropout", "the mask", f"{mask.numel()} bytes", f"{packed_size(count)} bytes")
    shifts = torch.tensor(_SHIFTS, dtype=torch.uint8, device=mask.device)
    return (mask.flatten()[:, None] >> shifts & 1).flatten()[:count].bool()


def generate(count: int, keep_prob: float, seed: int, offset: int) -> Tensor:
    """The mask that this seed and offset give, always the same."""
    generator = torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + offset) % (1 << 63))
    return pack(torch.rand(count, generator=generator) < keep_prob)


def draw_seed() -> int:
    """A seed from the device's random numbers."""
    return int(torch.randint(1, 1 << 31, ()))


def _mask_bytes(size: list[int]) -> int:
    return packed_size(math.prod(size))


def _check_p(operator: str, p: float) -> None:
    limit(0 <= p < 1 or p == 1, operator, "p", p, "0 to 1")


def apply(x: Tensor, mask: Tensor, p: float) -> Tensor:
    """x / (1 - p) where the mask keeps it."""
    keeps = unpack(mask, x.numel()).view(x.shape)
    return (torch.where(keeps, wide(x), 0.0) / (1 - p if p < 1 else 1)).to(x.dtype)


def _dropout_shapes(self: Tensor, p: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(self), self.new_empty(packed_size(self.numel()), dtype=torch.uint8)


@kernel("_npu_dropout", shapes=_dropout_shapes, draws=True)
def npu_dropout(self: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Dropout and its mask."""
    types("_npu_dropout", FLOATS, self=self)
    _check_p("_npu_dropout", p)
    mask = pack(torch.rand(self.numel()) >= p)
    return apply(self, mask, p), mask


@kernel("npu_dropout_do_mask", shapes=lambda self, mask, p: (torch.empty_like(self), torch.empty_like(mask)))
def dropout_do_mask(self: Tensor, mask: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Dropout by a mask, and the mask."""
    types("npu_dropout_do_mask", FLOATS, self=self)
    return apply(self, mask, p), mask.clone()


@kernel("npu_dropout_backward", shapes=lambda grad_output, mask, p: torch.empty_like(grad_output))
def dropout_backward(grad_output: Tensor, mask: Tensor, p: float) -> Tensor:
    """The gradient, by the mask of the forward."""
    return apply(grad_output, mask, p)


@derivative("_npu_dropout", "npu_dropout_do_mask", of="self")
def _dropout(grad: Tensor, result1: Tensor, p: float) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_dropout_backward(grad, result1, p)
    return gradient


@kernel(
    "_npu_dropout_gen_mask.Tensor",
    shapes=lambda self, size, p, seed, offset, **_: self.new_empty(_mask_bytes(size), dtype=torch.uint8),
)
def dropout_gen_mask_seeded(
    self: Tensor,
    size: list[int],
    p: float,
    seed: int,
    offset: int,
    *,
    parallel: bool | None = True,
    sync: bool | None = None,
) -> Tensor:
    """The mask of a tensor of that size; p is the share that is dropped."""
    _check_p("_npu_dropout_gen_mask", p)
    return generate(math.prod(size), 1 - p, seed, offset)


@kernel("npu_dropout_gen_mask", makes=True)
def dropout_gen_mask(
    size: list[int],
    p: float,
    *,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
) -> Tensor:
    """The mask of a tensor of that size; p is the share that is dropped."""
    mask: Tensor = torch.ops.npu._npu_dropout(torch.empty(size, device=device or "npu"), p)[1]
    return mask


def _with_softmax_shapes(self: Tensor, x1: Tensor, alpha: float, prob: float, dim: int) -> tuple[Tensor, ...]:
    return (*reversed(_dropout_shapes(self, prob)), torch.empty_like(self))


@kernel("npu_dropout_with_add_softmax", shapes=_with_softmax_shapes, draws=True)
def dropout_with_add_softmax(
    self: Tensor, x1: Tensor, alpha: float, prob: float, dim: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The mask, the softmax along ``dim`` of self * alpha + x1, and its dropout."""
    operator = "npu_dropout_with_add_softmax"
    types(operator, FLOATS, self=self, x1=x1)
    softmax = torch.softmax(wide(self) * alpha + wide(x1), dim).to(self.dtype)
    mask = pack(torch.rand(self.numel()) >= prob)
    return mask, softmax, apply(softmax, mask, prob)


@kernel(
    "npu_dropout_with_add_softmax_backward",
    shapes=lambda grad, mask, softmax_out, alpha, prob, dim: (torch.empty_like(grad), torch.empty_like(grad)),
)
def dropout_with_add_softmax_backward(
    grad: Tensor, mask: Tensor, softmax_out: Tensor, alpha: float, prob: float, dim: int
) -> tuple[Tensor, Tensor]:
    """Gradients of self and x1."""
    softmax = wide(softmax_out)
    grad_softmax = wide(apply(grad, mask, prob))
    grad_sum = softmax * (grad_softmax - (grad_softmax * softmax).sum(dim, keepdim=True))
    return (grad_sum * alpha).to(grad.dtype), grad_sum.to(grad.dtype)


@derivative("npu_dropout_with_add_softmax", of="self x1", results=(2,))
def _dropout_with_add_softmax(
    grad2: Tensor, result0: Tensor, result1: Tensor, alpha: float, prob: float, dim: int
) -> tuple[Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor] = torch.ops.npu.npu_dropout_with_add_softmax_backward(
        grad2, result0, result1, alpha, prob, dim
    )
    return gradients
