"""Softmax attention over segments, a block of rows at a time: what every fused attention operator comes down to.

A segment is one sequence: q [heads, Sq, D], k and v [kv heads, Skv, D or Dv]. No operator here holds all scores of a
sequence, as the hardware does not: a block has at most BLOCK scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from npu_emulator.operators.precision import wide

BLOCK = 1 << 22

# Which pairs are computed, for the rows from `first` up to `last`: bool, broadcastable to [heads, rows, Skv].
Keep = Callable[[int, int], Tensor | None]
# What is added to the scores of these rows, before or after they are scaled.
Bias = Callable[[int, int], Tensor | None]


def nothing(first: int, last: int) -> Tensor | None:
    """No mask, and no bias."""
    return None


@dataclass
class Segment:
    """One sequence and what applies to it.

    Attributes:
        bias_is_scaled: the bias is added before the scores are scaled.
        sink: one more score a head, [heads], that takes part in the softmax and has no value.
        dropped: factor of each probability, 0 or 1 / keep_prob, [heads, Sq, Skv] bool with ``keep_prob``; or None.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    scale: float
    keep: Keep = nothing
    bias: Bias = nothing
    bias_is_scaled: bool = True
    sink: Tensor | None = None
    dropout_keeps: Tensor | None = None
    keep_prob: float = 1.0

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First and last row of each block."""
        heads, rows = self.q.shape[:2]
        step = max(1, BLOCK // max(1, heads * self.k.shape[1]))
        for first in range(0, rows, step):
            yield first, min(first + step, rows)

    def shared(self, kv: Tensor) -> Tensor:
        """Keys or values, repeated for the query heads that share them."""
        return kv.repeat_interleave(self.q.shape[0] // kv.shape[0], 0)

    def scores(self, first: int, last: int, keys: Tensor) -> Tensor:
        """Scores of these rows, -inf where a pair is left out."""
        scores = wide(self.q[:, first:last]) @ keys.transpose(-1, -2)
        bias = self.bias(first, last)
        if bias is not None and self.bias_is_scaled:
            scores = (scores + wide(bias)) * self.scale
        else:
            scores = scores * self.scale
            scores = scores if bias is None else scores + wide(bias)
        keep = self.keep(first, last)
        return scores if keep is None else scores.masked_fill(~keep, -math.inf)

    def dropout_factor(self, first: int, last: int, dtype: torch.dtype) -> Tensor | None:
        """What the probabilities of these rows are multiplied with."""
        if self.dropout_keeps is None:
            return None
        return self.dropout_keeps[:, first:last].to(dtype) / self.keep_prob


def forward(segment: Segment) -> tuple[Tensor, Tensor, Tensor]:
    """Result [heads, Sq, Dv] in float32, and each row's maximum and sum of exponentials [heads, Sq].

    A row whose every pair is left out gives zeros, maximum 0 and sum 0.
    """
    heads, rows = segment.q.shape[:2]
    keys, values = wide(segment.shared(segment.k)), wide(segment.shared(segment.v))
    result = keys.new_zeros(heads, rows, values.shape[-1])
    row_max, row_sum = keys.new_zeros(heads, rows), keys.new_zeros(heads, rows)
    if not segment.k.shape[1]:
        return result, row_max, row_sum
    for first, last in segment.blocks():
        scores = segment.scores(first, last, keys)
        top = scores.amax(-1)
        if segment.sink is not None:
            top = torch.maximum(top, wide(segment.sink)[:, None])
        top = torch.where(top == -math.inf, 0.0, top)
        weights = torch.exp(scores - top[..., None])
        total = weights.sum(-1)
        if segment.sink is not None:
            total = total + torch.exp(wide(segment.sink)[:, None] - top)
        weights = weights / torch.where(total == 0, 1.0, total)[..., None]
        factor = segment.dropout_factor(first, last, weights.dtype)
        result[:, first:last] = (weights if factor is None else weights * factor) @ values
        row_max[:, first:last], row_sum[:, first:last] = top, total
    return result, row_max, row_sum


@dataclass
class Gradients:
    """Gradients of a segment; ``bias`` is called with each block's rows and the gradient of what was added."""

    q: Tensor
    k: Tensor
    v: Tensor
    sink: Tensor | None


def backward(
    segment: Segment,
    grad: Tensor,
    result: Tensor,
    row_max: Tensor,
    row_sum: Tensor,
    take_bias: Callable[[int, int, Tensor], None] | None = None,
) -> Gradients:
    """Gradients from those of the result, by the row statistics of the forward (which may cover more keys)."""
    keys, values = wide(segment.shared(segment.k)), wide(segment.shared(segment.v))
    grad_q = torch.zeros_like(wide(segment.q))
    grad_k, grad_v = torch.zeros_like(keys), torch.zeros_like(values)
    delta = (wide(grad) * wide(result)).sum(-1)
    safe_sum = torch.where(row_sum == 0, 1.0, row_sum)
    grad_sink = None
    if segment.sink is not None:
        grad_sink = -(torch.exp(wide(segment.sink)[:, None] - row_max) / safe_sum * delta).sum(-1)
    for first, last in segment.blocks() if segment.k.shape[1] else ():
        rows = slice(first, last)
        weights = torch.exp(segment.scores(first, last, keys) - row_max[:, rows, None]) / safe_sum[:, rows, None]
        factor = segment.dropout_factor(first, last, weights.dtype)
        grad_rows = wide(grad[:, rows])
        grad_v += (weights if factor is None else weights * factor).transpose(-1, -2) @ grad_rows
        grad_weights = grad_rows @ values.transpose(-1, -2)
        grad_weights = grad_weights if factor is None else grad_weights * factor
        grad_scores = weights * (grad_weights - delta[:, rows, None])
        if take_bias is not None:
            take_bias(first, last, grad_scores * segment.scale if segment.bias_is_scaled else grad_scores)
        grad_q[:, rows] = grad_scores @ keys * segment.scale
        grad_k += grad_scores.transpose(-1, -2) @ wide(segment.q[:, rows]) * segment.scale

    def unshared(gradient: Tensor, kv: Tensor) -> Tensor:
        return gradient.view(kv.shape[0], -1, *gradient.shape[1:]).sum(1)

    return Gradients(grad_q, unshared(grad_k, segment.k), unshared(grad_v, segment.v), grad_sink)
