"""VACE: blocks beside those of a Wan DiT that turn a video, a mask and pictures into hints for it.

Jiang et al., "VACE: All-in-One Video Creation and Editing", 2025. The names of the parameters are those of the
published files, which hold the DiT as well. The hints are computed one at a time, where the DiT asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from torch import Tensor, nn

from diffsynth.models.containers import ModuleList
from diffsynth.models.wan_video_dit import (
    Course,
    Hints,
    KeysValues,
    PatchEmbedding,
    TextCache,
    WanBlock,
    WanModel,
    head_count,
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


class VaceWanModel(nn.Module):
    """The part of a VACE model that is not the DiT.

    Args:
        dim, ffn_dim, num_heads: of the DiT that it is for.
        num_layers: hints that it gives, spread evenly over the DiT's layers.
        in_dim: channels of its context.
        patch_size: latent cells of a token, (frames, rows, columns).
        eps: of all norms.
    """

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

    def forward(self, context: Tensor, tokens: Tensor, course: Course, cache: TextCache | None = None) -> list[Tensor]:
        """All hints, (B, S, dim) each.

        Args:
            context: (1 or B, in_dim, T, H, W), float32.
            tokens: of the DiT before its blocks, (B, S, dim).
            course: what its blocks are given.

        Raises:
            ValueError: the context has other channels, or makes another number of tokens.
        """
        hints = VaceHints(self, self.embedded(context, tokens), tokens, course, cache)
        return [hints.next() for _ in self.vace_blocks]

    def embedded(self, context: Tensor, tokens: Tensor) -> Tensor:
        """The context as tokens of VACE, (B, S, dim), one for each of the DiT's."""
        if context.shape[1] != self.in_dim:
            raise ValueError(f"VACE's context has {context.shape[1]} channels, expected {self.in_dim}")
        own = self.vace_patch_embedding(context).to(tokens.dtype)
        if own.shape[1] != tokens.shape[1]:
            raise ValueError(f"VACE's context makes {own.shape[1]} tokens, and the video has {tokens.shape[1]}")
        return own.expand(len(tokens), -1, -1)

    @staticmethod
    def recognises(keys: AbstractSet[str]) -> bool:
        """Whether these are the keys of this part."""
        return {"vace_patch_embedding.weight", "vace_blocks.0.before_proj.weight"} <= keys

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | tuple[int, ...]]:
        """The constructor's sizes, from the shapes in a file.

        Raises:
            ValueError: the width is no multiple of 128, the width of a head in every published size.
        """
        dim, in_dim, *patch_size = shapes["vace_patch_embedding.weight"]
        return {
            "dim": dim,
            "ffn_dim": shapes["vace_blocks.0.ffn.0.weight"][0],
            "num_heads": head_count("vace_patch_embedding.weight", dim),
            "num_layers": 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("vace_blocks.")),
            "in_dim": in_dim,
            "patch_size": tuple(patch_size),
        }


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

    def hints(self, model: WanModel, tokens: Tensor, course: Course, cache: TextCache | None) -> Hints:
        """Those of a forward of the DiT with these tokens (B, S, dim); raises ValueError as `VaceWanModel.forward`."""
        network = self.networks[model]
        if self.whole or not isinstance(network, VaceWanModel):
            return Spread(network(self.context, tokens, course, cache), self.scale)
        hints = VaceHints(network, network.embedded(self.context, tokens), tokens, course, cache)
        return Spread(hints, self.scale)


class Spread:
    """Hints over the layers of a DiT, as even as can be.

    Args:
        hints: their number, and each in its turn.
    """

    def __init__(self, hints: list[Tensor] | VaceHints, scale: float) -> None:
        self._count, self._scale = len(hints), scale
        self._next = hints.next if isinstance(hints, VaceHints) else iter(hints).__next__

    def after(self, block: int, count: int) -> Tensor | None:
        """The hint behind block number `block` of the DiT's `count`, (B, S, dim); None where there is none."""
        number, between = divmod(block, count // self._count)
        if between or number >= self._count:
            return None
        hint = self._next()
        return hint if self._scale == 1 else hint * self._scale


class VaceHints:
    """The hints of one forward of the DiT, each computed when it is asked for."""

    def __init__(
        self, network: VaceWanModel, own: Tensor, of_dit: Tensor, course: Course, cache: TextCache | None
    ) -> None:
        self._blocks, self._course, self._cache = network.vace_blocks, course, cache
        self._coming = iter(self._blocks)
        self._own = own
        self._of_dit: Tensor | None = of_dit

    def __len__(self) -> int:
        return len(self._blocks)

    def next(self) -> Tensor:
        """The next one, (B, S, dim)."""
        block = next(self._coming)
        known = None if self._cache is None else self._cache.keys_values(block)
        tokens: tuple[Tensor, Tensor]
        tokens, keys_values = self._course.through(block, (self._own, self._of_dit), known)
        if self._cache is not None:
            self._cache.keep(block, keys_values)
        self._own, hint = tokens
        self._of_dit = None  # the first block has taken them in
        return hint
