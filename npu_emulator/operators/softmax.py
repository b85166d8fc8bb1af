"""Softmax with what stands before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from npu_emulator.operators.limits import FLOATS, limit, refuse, require, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import derivative, kernel


def _check(operator: str, x: Tensor, mask: Tensor, fixed_triu_mask: bool) -> None:
    types(operator, FLOATS, x=x)
    types(operator, (torch.bool,), mask=mask)
    if fixed_triu_mask:
        refuse(operator, "fixed_triu_mask", True, "False: it is reserved")
    require(x.dim() >= 2, operator, "x", f"{x.dim()}-dimensional", "at least 2 dimensions")
    for size in x.shape[-2:]:
        limit(
            32 <= size <= 4096 and size % 32 == 0, operator, "a last dimension of x", size, "32 to 4096, in steps of 32"
        )
    padded = [1] * (x.dim() - mask.dim()) + list(mask.shape)
    fits = mask.dim() <= x.dim() and all(m in (1, n) for m, n in zip(padded, x.shape, strict=True))
    require(fits, operator, "mask", list(mask.shape), f"broadcastable to {list(x.shape)}")


@kernel("npu_scaled_masked_softmax")
def scaled_masked_softmax(x: Tensor, mask: Tensor, scale: float = 1, fixed_triu_mask: bool = False) -> Tensor:
    """Softmax over the last dimension of x * scale, without what the mask hides; [..., H, W]."""
    _check("npu_scaled_masked_softmax", x, mask, fixed_triu_mask)
    scores = (wide(x) * scale).masked_fill(mask, -math.inf)
    return torch.nan_to_num(torch.softmax(scores, -1), nan=0.0).to(x.dtype)


@kernel("npu_scaled_masked_softmax_backward")
def scaled_masked_softmax_backward(
    y_grad: Tensor, y: Tensor, mask: Tensor, scale: float, fixed_triu_mask: bool
) -> Tensor:
    """The gradient of x, from the result y."""
    _check("npu_scaled_masked_softmax_backward", y, mask, fixed_triu_mask)
    grad, result = wide(y_grad), wide(y)
    grad_x = result * (grad - (grad * result).sum(-1, keepdim=True)) * scale
    return grad_x.masked_fill(mask, 0.0).to(y.dtype)


@derivative("npu_scaled_masked_softmax", of="x")
def _scaled_masked_softmax(grad: Tensor, result0: Tensor, mask: Tensor, scale: float, fixed_triu_mask: bool) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_scaled_masked_softmax_backward(grad, result0, mask, scale, fixed_triu_mask)
    return gradient


@kernel("npu_attn_softmax_")
def attn_softmax_(self: Tensor) -> Tensor:
    """Softmax over the last dimension, in place."""
    types("npu_attn_softmax_", FLOATS, self=self)
    return self.copy_(torch.softmax(wide(self), -1))


@kernel("npu_attn_softmax_backward_")
def attn_softmax_backward_(self: Tensor, grad_output: Tensor, values: Tensor) -> Tensor:
    """Turns the softmax ``self`` of attention into the gradient of its scores; ``values`` are the keys' values."""
    result = wide(self)
    grad = wide(grad_output) @ wide(values).transpose(-1, -2)
    return self.copy_(result * (grad - (grad * result).sum(-1, keepdim=True)))
