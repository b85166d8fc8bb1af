"""VACE: blocks beside those of a Wan DiT that turn a video, a mask and pictures into hints for it.

Jiang et al., "VACE: All-in-One Video Creation and Editing", 2025. The names of the parameters are those of the
published files, which hold the DiT as well. The hints are computed one at a time, where the DiT asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from torch import Tensor, nn

from diffsynth.models.wan_video_dit import Course, KeysValues, PatchEmbedding, TextCache, WanBlock, WanModel, head_count

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
        self.vace_blocks = nn.ModuleList(
            VaceBlock(dim, ffn_dim, num_heads, eps, first=number == 0) for number in range(num_layers)
        )
        self.vace_patch_embedding = PatchEmbedding(in_dim, dim, kernel_size=patch_size, stride=patch_size)

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
    """

    networks: Mapping[WanModel, VaceWanModel]
    context: Tensor
    scale: float = 1.0

    def hints(self, model: WanModel, tokens: Tensor, course: Course, cache: TextCache | None) -> VaceHints:
        """Those of a forward of the DiT with these tokens (B, S, dim).

        Raises:
            ValueError: the context has other channels, or makes another number of tokens.
        """
        network = self.networks[model]
        if self.context.shape[1] != network.in_dim:
            raise ValueError(f"VACE's context has {self.context.shape[1]} channels, expected {network.in_dim}")
        own = network.vace_patch_embedding(self.context).to(tokens.dtype)
        if own.shape[1] != tokens.shape[1]:
            raise ValueError(f"VACE's context makes {own.shape[1]} tokens, and the video has {tokens.shape[1]}")
        return VaceHints(network, self.scale, own.expand(len(tokens), -1, -1), tokens, course, cache)


class VaceHints:
    """The hints of one forward of the DiT."""

    def __init__(
        self,
        network: VaceWanModel,
        scale: float,
        own: Tensor,
        of_dit: Tensor,
        course: Course,
        cache: TextCache | None,
    ) -> None:
        self._blocks, self._scale, self._course, self._cache = network.vace_blocks, scale, course, cache
        self._own = own
        self._of_dit: Tensor | None = of_dit

    def after(self, block: int, count: int) -> Tensor | None:
        """The hint behind block number `block` of the DiT's `count`, (B, S, dim); None where there is none."""
        number, between = divmod(block, count // len(self._blocks))
        if between or number >= len(self._blocks):
            return None
        of_vace = self._blocks[number]
        known = None if self._cache is None else self._cache.keys_values(of_vace)
        tokens, keys_values = self._course.through(of_vace, (self._own, self._of_dit), known)
        if self._cache is not None:
            self._cache.keep(of_vace, keys_values)
        self._own, hint = tokens
        self._of_dit = None  # the first block has taken them in
        return hint if self._scale == 1 else hint * self._scale
