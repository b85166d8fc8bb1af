"""Ring attention: queries stay, keys and values go round, and what they give is merged by its log-sum-exp.

Liu et al., "Ring Attention with Blockwise Transformers" (2023). While a rank attends to one part, it sends that part
on and receives the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffsynth.core.attention.log_sum_exp import attention_and_log_sum_exp
from diffsynth.core.parallel.group import Group


def ring_attention(query: Tensor, key: Tensor, value: Tensor, group: Group, lengths: Sequence[int]) -> Tensor:
    """Attention of this rank's queries to the keys of all ranks.

    Args:
        query: (S, B, heads, head_dim); `key` and `value` the same. All contiguous.
        lengths: keys of each rank.

    Returns:
        (S, B, heads, head_dim), in the type of the query; the parts are merged in float32.
    """
    merged = Merged(query)
    for turn in range(group.size):
        moving = None
        if turn < group.size - 1:
            coming = lengths[(group.index - turn - 1) % group.size]
            following = [held.new_empty(coming, *held.shape[1:]) for held in (key, value)]
            moving = group.pass_on([key, value], following)
        if key.numel() and query.numel():
            merged.add(*attention_and_log_sum_exp(*(tensor.transpose(0, 1) for tensor in (query, key, value))))
        if moving is not None:
            moving.wait()
            key, value = following
    return merged.output()


class Merged:
    """Attention over all keys seen so far: their softmax, made of those of its parts.

    A sum of the parts and the sum of their weights, both divided by the weight of the heaviest, and by each other at
    the end alone: no log-sum-exp is rounded again, which over eight parts is a tenth less of an error.
    """

    _weight: Tensor
    _heaviest: Tensor

    def __init__(self, query: Tensor) -> None:
        self._like = query
        self._sum: Tensor | None = None

    def add(self, part: Tensor, log_sum_exp: Tensor) -> None:
        """Adds the attention over other keys, (B, S, heads, head_dim), and its log-sum-exp (B, S, heads), float32."""
        log_sum_exp = log_sum_exp.unsqueeze(-1)
        if self._sum is None:
            self._sum, self._weight, self._heaviest = part.float(), torch.ones_like(log_sum_exp), log_sum_exp
            return
        heaviest = torch.maximum(self._heaviest, log_sum_exp)
        before, now = torch.exp(self._heaviest - heaviest), torch.exp(log_sum_exp - heaviest)
        self._sum.mul_(before).add_(part * now)
        self._weight = self._weight * before + now
        self._heaviest = heaviest

    def output(self) -> Tensor:
        """(S, B, heads, head_dim)."""
        if self._sum is None:
            return torch.zeros_like(self._like)
        return (self._sum / self._weight).transpose(0, 1).to(self._like.dtype)
