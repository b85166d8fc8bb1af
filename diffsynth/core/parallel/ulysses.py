"""Ulysses: every rank has all heads of some tokens; for the attention, it gets all tokens of some heads.

Jacobs et al., "DeepSpeed Ulysses" (2023). Tokens and heads are dealt out unevenly where they do not divide, down to
none at all. Tensors travel with their tokens as the first axis, (S, B, heads, head_dim), in which order what arrives
from the ranks lies one after another, and is used as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from diffsynth.core.parallel.degrees import even_parts
from diffsynth.core.parallel.group import Group


def to_heads(tensor: Tensor, group: Group, lengths: Sequence[int]) -> Tensor:
    """All tokens of this rank's heads.

    Args:
        tensor: all heads of this rank's tokens, (B, S, heads, head_dim). Its memory may be written over.
        lengths: tokens of each rank.

    Returns:
        (sum of lengths, B, heads of this rank, head_dim), contiguous.
    """
    batch, _, heads, head_dim = tensor.shape
    if group.size == 1:
        return tensor.transpose(0, 1).contiguous()
    shares = even_parts(heads, group.size)
    sent = tensor.new_empty(tensor.numel())
    sizes = [lengths[group.index] * batch * share * head_dim for share in shares]
    for part, wanted in zip(
        sent.split_with_sizes(sizes), tensor.transpose(0, 1).split_with_sizes(shares, dim=2), strict=True
    ):
        part.view(wanted.shape).copy_(wanted)
    mine = shares[group.index]
    received = _memory_for(sum(lengths) * batch * mine * head_dim, tensor)
    group.all_to_all(received, sent, [length * batch * mine * head_dim for length in lengths], sizes)
    return received.view(sum(lengths), batch, mine, head_dim)


def to_tokens(tensor: Tensor, group: Group, lengths: Sequence[int], heads: int, spare: Tensor) -> Tensor:
    """The way back: all heads of this rank's tokens.

    Args:
        tensor: (sum of lengths, B, heads of this rank, head_dim).
        lengths: tokens of each rank.
        heads: of all ranks.
        spare: of the shape of the result, no longer needed. Its memory may be written over.

    Returns:
        (B, tokens of this rank, heads, head_dim), contiguous.
    """
    _, batch, mine, head_dim = tensor.shape
    if group.size == 1:
        return tensor.transpose(0, 1).contiguous()
    shares, length = even_parts(heads, group.size), lengths[group.index]
    sizes = [length * batch * share * head_dim for share in shares]
    received = _memory_for(sum(sizes), spare)
    sent = tensor.contiguous().view(-1)
    group.all_to_all(received, sent, sizes, [other * batch * mine * head_dim for other in lengths])
    together = tensor.new_empty(batch, length, heads, head_dim)
    for part, place in zip(
        received.split_with_sizes(sizes), together.transpose(0, 1).split_with_sizes(shares, dim=2), strict=True
    ):
        place.copy_(part.view(place.shape))
    return together


def _memory_for(count: int, spare: Tensor) -> Tensor:
    """1D memory for so many elements: that of `spare` where it is as large, which keeps the peak down."""
    return spare.view(-1) if spare.numel() == count and spare.is_contiguous() else spare.new_empty(count)
