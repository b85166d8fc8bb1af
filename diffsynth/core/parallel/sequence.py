"""A sequence of tokens over several devices: who holds which part, attention across the parts, and all together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from diffsynth.core.attention.attention import attention
from diffsynth.core.parallel.degrees import even_parts
from diffsynth.core.parallel.mesh import Mesh
from diffsynth.core.parallel.ring import ring_attention
from diffsynth.core.parallel.ulysses import to_heads, to_tokens


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
