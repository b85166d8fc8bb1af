"""Ring attention: queries stay, keys and values go round, and what they give is merged by its log-sum-exp.

Liu et al., "Ring Attention with Blockwise Transformers" (2023). While a rank attends to one part, it sends that part
on and receives the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
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
    """Attention over all keys seen so far: their softmax, made of those of its parts."""

    def __init__(self, query: Tensor) -> None:
        self._like = query
        self._sum: Tensor | None = None
        self._log_sum_exp: Tensor | None = None

    def add(self, part: Tensor, log_sum_exp: Tensor) -> None:
        """Adds the attention over other keys, (B, S, heads, head_dim), and its log-sum-exp (B, S, heads), float32."""
        log_sum_exp = log_sum_exp.unsqueeze(-1)
        if self._sum is None or self._log_sum_exp is None:
            self._sum, self._log_sum_exp = part.float(), log_sum_exp
            return
        self._sum += torch.sigmoid(log_sum_exp - self._log_sum_exp) * (part - self._sum)
        self._log_sum_exp = self._log_sum_exp - F.logsigmoid(self._log_sum_exp - log_sum_exp)

    def output(self) -> Tensor:
        """(S, B, heads, head_dim)."""
        if self._sum is None:
            return torch.zeros_like(self._like)
        return self._sum.transpose(0, 1).to(self._like.dtype)
