"""A sequence of tokens over several devices: who holds which part, attention across the parts, and all together.

By Ulysses (Jacobs et al., "DeepSpeed Ulysses", 2023), a rank that has all heads of some tokens gets, for the attention,
all tokens of some heads. Tokens and heads are dealt out unevenly where they do not divide, down to none at all. Tensors
travel with their tokens as the first axis, (S, B, heads, head_dim), in which order what arrives from the ranks lies one
after another, and is used as it is.

In a ring (Liu et al., "Ring Attention with Blockwise Transformers", 2023), queries stay, keys and values go round, and
what they give is merged by its log-sum-exp. While a rank attends to one part, it sends that part on and receives the
next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from diffsynth.core.attention.attention import attention
from diffsynth.core.attention.log_sum_exp import attention_and_log_sum_exp
from diffsynth.core.parallel.group import Group
from diffsynth.core.parallel.mesh import Mesh, even_parts


class SequenceParallel:
    """Ulysses times ring: ring attention between groups within which heads are dealt out.

    Attributes:
        mesh: the devices.
        lengths: tokens of each rank, of the sequence that was shared out last.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.lengths: list[int] = []

    def share_out(self, length: int) -> None:
        """Each rank gets a part of a sequence of so many tokens; the parts differ by one at most."""
        self.lengths = even_parts(length, self.mesh.sequence.size)

    @property
    def parts(self) -> list[slice[int, int, int]]:
        """The tokens of each rank."""
        ends = list(accumulate(self.lengths))
        return [slice(end - length, end) for end, length in zip(ends, self.lengths, strict=True)]

    @property
    def part(self) -> slice[int, int, int]:
        """The tokens of this rank."""
        return self.parts[self.mesh.sequence.index]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Attention of this rank's tokens to those of all ranks, as `attention` computes it in one process.

        Args:
            query, key, value: (B, tokens of this rank, heads, head_dim). Their memory may be written over.
            mask: of all tokens, (1 or B, 1, tokens, tokens); True where a key takes part.

        Returns:
            The shape and type of the query.

        Raises:
            RuntimeError: gradients are asked for, or a mask in a ring.
        """
        if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
            raise RuntimeError("a network cut across devices has no gradients: run it under torch.no_grad()")
        if mask is not None and self.mesh.ring.size > 1:
            raise RuntimeError("a ring has no masks in its attention: give ring_degree=1")
        ulysses, ring, heads = self.mesh.ulysses, self.mesh.ring, query.shape[2]
        of_rings = [self.lengths[start : start + ulysses.size] for start in range(0, len(self.lengths), ulysses.size)]
        lengths, spare = of_rings[ring.index], query
        query, key, value = (to_heads(tensor, ulysses, lengths) for tensor in (query, key, value))
        if ring.size > 1:
            output = ring_attention(query, key, value, ring, [sum(of_ring) for of_ring in of_rings])
        elif query.numel():
            joint = (tensor.transpose(0, 1) for tensor in (query, key, value))
            output = attention(*joint, mask=mask).transpose(0, 1)
        else:
            output = query
        return to_tokens(output, ulysses, lengths, heads, spare)

    # torch.compile leaves it as it is. This is what torch.compiler.disable sets, without importing the compiler.
    attend._torchdynamo_disable = True  # type: ignore[attr-defined]

    def gather(self, tokens: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """The tokens (B, S, width) of all ranks, in order; `lengths` where each has others than were shared out."""
        parts = self.mesh.sequence.gather(tokens.transpose(0, 1), self.lengths if lengths is None else lengths)
        return torch.cat(parts).transpose(0, 1)


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
