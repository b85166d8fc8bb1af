"""VACE: blocks beside those of a Wan DiT that turn a video, a mask and pictures into hints for it.

Jiang et al., "VACE: All-in-One Video Creation and Editing", 2025. The names of the parameters are those of the
published files, which hold the DiT as well. The hints are computed one at a time, where the DiT asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from diffsynth.core.loader.detection import ToldByNames
from diffsynth.models.layers import ModuleList
from diffsynth.models.wan_video_dit import (
    Course,
    KeysValues,
    PatchEmbedding,
    WanBlock,
    WanModel,
    sizes_of_blocks,
)

CONTEXT_CHANNELS = 96  # of what is kept and of what is made anew, 16 each, and 64 of the mask


class VaceBlock(WanBlock):
    """A block of the DiT's kind, and what it gives to the DiT.

    Args:
        first: whether it takes in the DiT's own tokens.
    """

    def __init__(self, dim: int, ffn_dim: int, num_heads: int, eps: float, first: bool) -> None:
        super().__init__(dim, ffn_dim, num_heads, eps)
        self.before_proj = nn.Linear(dim, dim) if first else None
        self.after_proj = nn.Linear(dim, dim)

    def forward(  # type: ignore[override]
        self,
        tokens: tuple[Tensor, Tensor | None],
        context: tuple[Tensor, ...],
        time: Tensor,
        cos: Tensor,
        sin: Tensor,
        keys_values: tuple[KeysValues, ...] | None = None,
        lengths: tuple[int, ...] | None = None,
    ) -> tuple[tuple[Tensor, Tensor], tuple[KeysValues, ...]]:
        """One layer.

        Args:
            tokens: of VACE, (B, S, dim), and those of the DiT, which the first block adds.
            context, time, cos, sin, keys_values, lengths: as `WanBlock.forward` takes them.

        Returns:
            VACE's new tokens and the hint, both (B, S, dim), and the context's keys and values.
        """
        own, of_dit = tokens
        if self.before_proj is not None and of_dit is not None:
            own = self.before_proj(own) + of_dit
        own, keys_values = super().forward(own, context[:1], time, cos, sin, keys_values, lengths)
        return (own, self.after_proj(own)), keys_values


class VaceWanModel(nn.Module, ToldByNames):
    """The part of a VACE model that is not the DiT.

    Args:
        dim, ffn_dim, num_heads: of the DiT that it is for.
        num_layers: hints that it gives, spread evenly over the DiT's layers.
        in_dim: channels of its context.
        patch_size: latent cells of a token, (frames, rows, columns).
        eps: of all norms.
    """

    telling = ("vace_patch_embedding.weight", "vace_blocks.0.before_proj.weight")

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        num_heads: int,
        num_layers: int,
        in_dim: int = CONTEXT_CHANNELS,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.in_dim = in_dim
        self.vace_blocks = ModuleList(
            VaceBlock(dim, ffn_dim, num_heads, eps, first=number == 0) for number in range(num_layers)
        )
        self.vace_patch_embedding = PatchEmbedding(in_dim, dim, kernel_size=patch_size, stride=patch_size)

    @property
    def blocks(self) -> ModuleList[VaceBlock]:
        """The repeated part."""
        return self.vace_blocks

    def forward(self, context: Tensor, tokens: Tensor, course: Course) -> list[Tensor]:
        """All hints, (B, S, dim) each.

        Args:
            context: (1 or B, in_dim, T, H, W), float32.
            tokens: of the DiT before its blocks, (B, S, dim).
            course: what its blocks are given.

        Raises:
            ValueError: the context has other channels, or makes another number of tokens.
        """
        return list(self.hints(self.embedded(context, tokens), tokens, course))

    def hints(self, own: Tensor, tokens: Tensor, course: Course) -> Iterator[Tensor]:
        """The hints, computed one at a time as they are asked for, of `embedded` tokens and those of the DiT."""
        of_dit = [tokens]
        del tokens
        for block in self.vace_blocks:
            # The first block takes the DiT's tokens in; neither they nor a hint are held here any longer.
            own, *hint = course.through(block, (own, of_dit.pop() if of_dit else None))
            yield hint.pop()

    def embedded(self, context: Tensor, tokens: Tensor) -> Tensor:
        """The context as tokens of VACE, (B, S, dim), one for each of the DiT's."""
        if context.shape[1] != self.in_dim:
            raise ValueError(f"VACE's context has {context.shape[1]} channels, expected {self.in_dim}")
        own = self.vace_patch_embedding(context).to(tokens.dtype)
        if own.shape[1] != tokens.shape[1]:
            raise ValueError(f"VACE's context makes {own.shape[1]} tokens, and the video has {tokens.shape[1]}")
        return own.expand(len(tokens), -1, -1)

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | tuple[int, ...]]:
        """The constructor's sizes, from the shapes in a file; raises as `sizes_of_blocks`."""
        return sizes_of_blocks(shapes, "vace_patch_embedding", "vace_blocks")


@dataclass(frozen=True)
class Vace:
    """VACE in one generation: a `Guide` of `WanModel.forward`.

    Attributes:
        networks: the VACE of each DiT that takes part.
        context: what they are given, (1 or B, in_dim, T, H, W), float32, of the size of the latents.
        scale: of the hints.
        whole: whether a network is called once for all hints, as an engine that trains it wants to see it; else one
            block at a time, and one hint is there at a time.
    """

    networks: Mapping[WanModel, nn.Module]
    context: Tensor
    scale: float = 1.0
    whole: bool = False

    def hints(self, model: WanModel, tokens: Tensor, course: Course) -> Iterator[Tensor | None]:
        """Those of a forward of the DiT with these tokens (B, S, dim), spread over its blocks as even as can be; raises
        ValueError as `VaceWanModel.forward`."""
        network, count = self.networks[model], len(model.blocks)
        if self.whole or not isinstance(network, VaceWanModel):
            hints: list[Tensor] = network(self.context, tokens, course)
            return self._spread(iter(hints), count // len(hints), count)
        own = network.embedded(self.context, tokens)
        return self._spread(network.hints(own, tokens, course), count // len(network.vace_blocks), count)

    def _spread(self, hints: Iterator[Tensor], between: int, count: int) -> Iterator[Tensor | None]:
        def scaled() -> Tensor | None:
            hint = next(hints, None)
            return hint if hint is None or self.scale == 1 else hint * self.scale

        for block in range(count):
            yield None if block % between else scaled()
