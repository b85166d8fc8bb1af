"""Losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from npu_emulator.operators.limits import FLOATS, dimensions, limit, one_of, require, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import derivative, kernel

_REDUCTIONS = ("mean", "sum", "none")


@kernel("npu_cross_entropy_loss")
def cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    lse_square_scale_for_zloss: float = 0.0,
    return_zloss: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cross entropy of [N, C] and [N]: the loss ([1], or [N] without reduction), log probabilities, two empty ones."""
    operator = "npu_cross_entropy_loss"
    types(operator, FLOATS, input=input)
    types(operator, (torch.int64,), target=target)
    types(operator, (torch.float32,), weight=weight)
    dimensions(operator, 2, 2, input=input)
    require(list(target.shape) == [input.shape[0]], operator, "target", list(target.shape), [input.shape[0]])
    one_of(operator, "reduction", reduction, _REDUCTIONS)
    limit(0 < input.shape[0] <= 200000, operator, "the batch", input.shape[0], "1 to 200000")
    limit(ignore_index < input.shape[1], operator, "ignore_index", ignore_index, f"below {input.shape[1]}")
    limit(0 <= label_smoothing < 1, operator, "label_smoothing", label_smoothing, "from 0, below 1")
    limit(not lse_square_scale_for_zloss, operator, "lse_square_scale_for_zloss", lse_square_scale_for_zloss, 0.0)
    limit(not return_zloss, operator, "return_zloss", return_zloss, False)
    log_prob = torch.log_softmax(wide(input), -1)
    gain = None if weight is None else weight.to(log_prob.dtype)
    loss = functional.nll_loss(log_prob, target, gain, reduction=reduction, ignore_index=ignore_index)
    if label_smoothing:
        loss = functional.cross_entropy(
            wide(input),
            target,
            gain,
            reduction=reduction,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
        )
    loss = loss if reduction == "none" else loss.view(1)
    return loss.to(input.dtype), log_prob.to(input.dtype), input.new_empty(0), input.new_empty(0)


@kernel("npu_cross_entropy_loss_backward")
def cross_entropy_loss_backward(
    grad_loss: Tensor,
    log_prob: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    grad_zloss: Tensor | None = None,
    lse_for_zloss: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    lse_square_scale_for_zloss: float = 0.0,
) -> Tensor:
    """The gradient of input, from the log probabilities."""
    operator = "npu_cross_entropy_loss with a gradient"
    one_of(operator, "reduction", reduction, _REDUCTIONS)
    limit(not label_smoothing, operator, "label_smoothing", label_smoothing, 0.0)
    if reduction == "mean":
        limit(weight is None, operator, "weight", "given", "None for reduction 'mean'")
        limit(ignore_index == -100, operator, "ignore_index", ignore_index, "-100 for reduction 'mean'")
    log_prob_wide = wide(log_prob)
    counted = target != ignore_index
    safe = torch.where(counted, target, 0)
    gain = counted.to(log_prob_wide.dtype)
    if weight is not None:
        gain = gain * weight.to(log_prob_wide.dtype)[safe]
    scale = wide(grad_loss) * gain
    if reduction == "mean":
        scale = scale / gain.sum()
    picked = functional.one_hot(safe, log_prob.shape[-1]).to(log_prob_wide.dtype)
    return ((log_prob_wide.exp() - picked) * scale[:, None]).to(log_prob.dtype)


@derivative("npu_cross_entropy_loss", of="input")
def _cross_entropy_loss(
    grad: Tensor,
    result1: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_cross_entropy_loss_backward(
        grad, result1, target, weight, None, None, reduction, ignore_index, label_smoothing
    )
    return gradient


@kernel("npu_softmax_cross_entropy_with_logits")
def softmax_cross_entropy_with_logits(self: Tensor, labels: Tensor) -> Tensor:
    """[N]: cross entropy of [N, C] with probabilities [N, C]."""
    types("npu_softmax_cross_entropy_with_logits", FLOATS, self=self, labels=labels)
    return -(torch.log_softmax(wide(self), -1) * wide(labels)).sum(-1).to(self.dtype)


@kernel("npu_softmax_cross_entropy_with_logits_backward")
def softmax_cross_entropy_with_logits_backward(grad: Tensor, self: Tensor, labels: Tensor) -> Tensor:
    """The gradient of self."""
    total = wide(labels).sum(-1, keepdim=True)
    return (wide(grad)[..., None] * (torch.softmax(wide(self), -1) * total - wide(labels))).to(self.dtype)


@derivative("npu_softmax_cross_entropy_with_logits", of="self")
def _softmax_cross_entropy_with_logits(grad: Tensor, self: Tensor, labels: Tensor) -> Tensor:
    gradient: Tensor = torch.ops.npu.npu_softmax_cross_entropy_with_logits_backward(grad, self, labels)
    return gradient
