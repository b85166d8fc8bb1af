"""The Wan diffusion transformer: noisy video latents, a timestep and a prompt's features in, the flow's velocity out.

Parameters have the names and shapes of the published files. Whatever the weights' type, the time embedding, the
modulation that it steers, the statistics of the norms and the rotary embedding are float32.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from math import prod
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffsynth.core.attention.attention import attention
from diffsynth.core.fused import gated, gelu_of_linear, modulated, normed_and_rotated, warm_up
from diffsynth.models.rotary import AxialRotary
from diffsynth.models.time_embedding import Float32Linear, sinusoid

# Every published size has heads of this width; the files do not say how many heads there are.
HEAD_DIM = 128

# The feed-forward networks take their tokens in so many parts, which bounds the memory of their wide activations and
# lets a CPU keep them in its caches. Still thousands of rows for each matmul, where memory matters.
_FFN_PARTS = 4

_KEY = re.compile(
    r"(patch_embedding|text_embedding\.[02]|time_embedding\.[02]|time_projection\.1|head\.head)\.(weight|bias)"
    r"|head\.modulation"
    r"|blocks\.\d+\.("
    r"modulation|norm3\.(weight|bias)|ffn\.[02]\.(weight|bias)"
    r"|(self_attn|cross_attn)\.([qkvo]\.(weight|bias)|norm_[qk]\.weight))"
)
_TELLING_KEYS = {"patch_embedding.weight", "time_projection.1.weight", "head.modulation", "blocks.0.modulation"}


class StepCache(Protocol):
    """What may spare a step its blocks, such as `diffsynth.diffusion.tea_cache.TeaCache`."""

    def skip(self, modulation: Tensor, tokens: Tensor) -> Tensor | None:
        """The tokens as they would leave the blocks, or None where the blocks have to run."""

    def store(self, before: Tensor, after: Tensor) -> None:
        """Takes note of what the blocks did."""


class TextCache:
    """A prompt as one model sees it: computed in the first step, the same in all others of a generation.

    Holds the embedded features and each block's keys and values of them. It belongs to one model and one prompt: make
    another for the negative prompt, and for the second expert. It takes 2 * layers * B * L * dim numbers.
    """

    def __init__(self) -> None:
        self._model: WanModel | None = None
        self._context: Tensor | None = None
        self._embedded: Tensor | None = None
        self._keys_values: dict[int, tuple[Tensor, Tensor]] = {}

    def embedded(self, model: WanModel, context: Tensor) -> Tensor:
        """`context` (B, L, text_dim) in the width of the model, (B, L, dim).

        Raises:
            ValueError: the cache was filled by another model, or from another prompt.
        """
        if self._embedded is None:
            self._model, self._context = model, context
            self._embedded = model.text_embedding(context)
        elif self._model is not model or not _same(self._context, context):
            raise ValueError("a TextCache holds one prompt as one model sees it: make a new one for each")
        return self._embedded

    def keys_values(self, block: int) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """The text's keys and values in a block, each (B, L, heads, head_dim); None before the first step."""
        return self._keys_values.get(block, (None, None))

    def keep(self, block: int, keys: Tensor, values: Tensor) -> None:
        """Keeps what the block computed."""
        self._keys_values[block] = keys, values


class PatchEmbedding(nn.Conv3d):
    """A convolution whose kernel is its stride, computed as what it is: a matmul over patches."""

    def forward(self, latents: Tensor) -> Tensor:
        """(B, C, T, H, W), each axis a multiple of the patch's, to tokens (B, S, dim)."""
        batch, channels, *size = latents.shape
        cut = [
            length for whole, patch in zip(size, self.kernel_size, strict=True) for length in (whole // patch, patch)
        ]
        patches = latents.reshape(batch, channels, *cut).permute(0, 2, 4, 6, 1, 3, 5, 7)
        patches = patches.reshape(batch, -1, channels * prod(self.kernel_size))
        return F.linear(patches.to(self.weight.dtype), self.weight.flatten(1), self.bias)


class SelfAttention(nn.Module):
    """Attention among the video's tokens, with a rotary embedding of their places.

    Attributes:
        attend: what computes it; another function of query, key and value may be put in its place. Nothing else uses
            the three tensors that it gets.
    """

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attend: Callable[[Tensor, Tensor, Tensor], Tensor] = attention
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = nn.RMSNorm(dim, eps)
        self.norm_k = nn.RMSNorm(dim, eps)

    def forward(self, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim); the tables are those of `normed_and_rotated`."""
        query = self._turned(self.q(tokens), self.norm_q, cos, sin)
        key = self._turned(self.k(tokens), self.norm_k, cos, sin)
        value = self._heads(self.v(tokens))
        return self.o(self.attend(query, key, value).flatten(2))

    def _turned(self, tokens: Tensor, norm: nn.RMSNorm, cos: Tensor, sin: Tensor) -> Tensor:
        return normed_and_rotated(tokens, norm.weight, norm.eps, tokens.shape[-1] // self.num_heads, cos, sin)

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1))


class CrossAttention(SelfAttention):
    """Attention of the video's tokens to the prompt's: the same layers, no places."""

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """The prompt (B, L, dim) as keys and values, each (B, L, heads, head_dim)."""
        return self._heads(self.norm_k(self.k(context))), self._heads(self.v(context))

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim); the prompt's keys and values are of B, or of one that all share."""
        query = self._heads(self.norm_q(self.q(tokens)))
        keys, values = (shared.expand(len(tokens), -1, -1, -1) for shared in (keys, values))
        return self.o(attention(query, keys, values).flatten(2))


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between, run on a part of the tokens at a time."""

    def __init__(self, dim: int, ffn_dim: int) -> None:
        super().__init__(nn.Linear(dim, ffn_dim), nn.GELU("tanh"), nn.Linear(ffn_dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim)."""
        return torch.cat([self[2](gelu_of_linear(self[0], part)) for part in tokens.chunk(_FFN_PARTS, dim=1)], dim=1)


class WanBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward network, the first and the last steered by the timestep."""

    def __init__(self, dim: int, ffn_dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.modulation = nn.Parameter(nn.init.normal_(torch.empty(1, 6, dim), std=dim**-0.5))
        self.self_attn = SelfAttention(dim, num_heads, eps)
        self.norm3 = nn.LayerNorm(dim, eps)
        self.cross_attn = CrossAttention(dim, num_heads, eps)
        self.ffn = FeedForward(dim, ffn_dim)

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        time: Tensor,
        cos: Tensor,
        sin: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer.

        Args:
            tokens: (B, S, dim); left unchanged.
            context: the prompt, (B, L, dim).
            time: the projected time embedding, (B, 6, dim), float32.
            cos, sin: the rotary tables.
            keys, values: the prompt's in this block, (B, L, heads, head_dim), where they are known.

        Returns:
            The new tokens, and the prompt's keys and values.
        """
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (self.modulation.float() + time).unbind(dim=1)
        tokens = gated(tokens, self.self_attn(modulated(tokens, shift, scale, self.eps), cos, sin), gate)
        if keys is None or values is None:
            keys, values = self.cross_attn.keys_values(context)
        tokens = tokens + self.cross_attn(self.norm3(tokens), keys, values)
        tokens = gated(tokens, self.ffn(modulated(tokens, ffn_shift, ffn_scale, self.eps)), ffn_gate)
        return tokens, keys, values


class Head(nn.Module):
    """Tokens to the numbers of their patches."""

    def __init__(self, dim: int, out_features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.modulation = nn.Parameter(nn.init.normal_(torch.empty(1, 2, dim), std=dim**-0.5))
        self.head = nn.Linear(dim, out_features)

    def forward(self, tokens: Tensor, time: Tensor) -> Tensor:
        """Tokens (B, S, dim) and the time embedding (B, dim) float32 to (B, S, out_features)."""
        shift, scale = (self.modulation.float() + time.unsqueeze(1)).unbind(dim=1)
        return self.head(modulated(tokens, shift, scale, self.eps))


_DIFFUSERS_PROJECTIONS = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}


class WanModel(nn.Module):
    """The network of Wan2.1-T2V and of either expert of Wan2.2-A14B.

    Args:
        dim: width of the tokens, a multiple of `num_heads`; an even number for each head.
        ffn_dim: width within the feed-forward networks.
        num_heads, num_layers: of the blocks.
        in_dim, out_dim: channels of the latents going in and of the velocity coming out.
        text_dim: width of the prompt's features.
        freq_dim: number of cosines and sines that describe the timestep, even.
        patch_size: latent cells of a token, (frames, rows, columns).
        eps: of all norms.

    Raises:
        ValueError: the heads do not divide `dim` into even widths.
    """

    # Endings of its linear layers' names, and what diffusers' WanTransformer3DModel calls the same.
    diffusers_names: ClassVar[dict[str, str]] = {
        **{f"self_attn.{ours}": f"attn1.{theirs}" for ours, theirs in _DIFFUSERS_PROJECTIONS.items()},
        **{f"cross_attn.{ours}": f"attn2.{theirs}" for ours, theirs in _DIFFUSERS_PROJECTIONS.items()},
        "ffn.0": "ffn.net.0.proj",
        "ffn.2": "ffn.net.2",
        "text_embedding.0": "condition_embedder.text_embedder.linear_1",
        "text_embedding.2": "condition_embedder.text_embedder.linear_2",
        "time_embedding.0": "condition_embedder.time_embedder.linear_1",
        "time_embedding.2": "condition_embedder.time_embedder.linear_2",
        "time_projection.1": "condition_embedder.time_proj",
        "head.head": "proj_out",
    }

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        num_heads: int,
        num_layers: int,
        in_dim: int = 16,
        out_dim: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if dim % (2 * num_heads):
            raise ValueError(f"dim={dim} does not divide into num_heads={num_heads} heads of even width")
        self.in_dim, self.freq_dim, self.patch_size = in_dim, freq_dim, patch_size
        self.patch_embedding = PatchEmbedding(in_dim, dim, kernel_size=patch_size, stride=patch_size)
        self.text_embedding = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU("tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(Float32Linear(freq_dim, dim), nn.SiLU(), Float32Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), Float32Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(WanBlock(dim, ffn_dim, num_heads, eps) for _ in range(num_layers))
        self.head = Head(dim, out_dim * prod(patch_size), eps)
        self.rotary = AxialRotary(rotary_dims(dim // num_heads))

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        context: Tensor,
        *,
        text_cache: TextCache | None = None,
        step_cache: StepCache | None = None,
        use_gradient_checkpointing: bool = False,
        use_gradient_checkpointing_offload: bool = False,
    ) -> Tensor:
        """The velocity of the flow, float32, (B, out_dim, T, H, W).

        Args:
            latents: (B, in_dim, T, H, W) float32; T, H and W multiples of the patch's.
            timestep: (B,) float32, 0 to 1000.
            context: the prompt's features, (B, L, text_dim), in the type to compute in; or (1, L, text_dim) of a prompt
                that all share.
            text_cache: keeps what depends on the prompt alone from step to step.
            step_cache: may skip the blocks.
            use_gradient_checkpointing: keep the tokens between the blocks only, and run each block again backwards.
            use_gradient_checkpointing_offload: the same, with the kept tokens in host memory.

        Raises:
            ValueError: latents of other channels or a size that is no multiple of the patch's; a used `text_cache`
                with another prompt or of another model.
        """
        grid = self._grid(latents)
        tokens = self.patch_embedding(latents).to(context.dtype)
        time = self.time_embedding(sinusoid(timestep, self.freq_dim))
        time_of_blocks = self.time_projection(time).unflatten(-1, (6, -1))
        after = None if step_cache is None else step_cache.skip(time_of_blocks, tokens)
        if after is None:
            checkpointing = use_gradient_checkpointing or use_gradient_checkpointing_offload
            tables = self.rotary.tables(grid, latents.device)
            with torch.autograd.graph.save_on_cpu() if use_gradient_checkpointing_offload else nullcontext():
                after = self._through_blocks(tokens, context, time_of_blocks, tables, text_cache, checkpointing)
            if step_cache is not None:
                step_cache.store(tokens, after)
        return _unpatchify(self.head(after, time).float(), grid, self.patch_size)

    def warm_up(self, device: torch.device, dtype: torch.dtype) -> None:
        """Has the device load what the first forward would, and hold the angles that rotary tables are made of."""
        attention = self.blocks[0].self_attn
        dim = attention.norm_q.weight.shape[0]
        warm_up(device, dtype, dim=dim, head_dim=dim // attention.num_heads, normed=dim)
        self.rotary.axes.build(device)

    def _through_blocks(
        self,
        tokens: Tensor,
        context: Tensor,
        time: Tensor,
        tables: tuple[Tensor, Tensor],
        cache: TextCache | None,
        checkpointing: bool,
    ) -> Tensor:
        context = self.text_embedding(context) if cache is None else cache.embedded(self, context)
        for index, block in enumerate(self.blocks):
            known = (None, None) if cache is None else cache.keys_values(index)
            rest = (context, time, *tables, *known)
            if checkpointing and torch.is_grad_enabled():
                tokens, keys, values = _checkpointed(block, tokens, rest)
            else:
                tokens, keys, values = block(tokens, *rest)
            if cache is not None:
                cache.keep(index, keys, values)
        return tokens

    def _grid(self, latents: Tensor) -> tuple[int, ...]:
        """Tokens along time, height and width."""
        channels, *size = latents.shape[1:]
        if channels != self.in_dim:
            raise ValueError(f"latents have {channels} channels, this model takes {self.in_dim}")
        if any(length % patch for length, patch in zip(size, self.patch_size, strict=True)):
            raise ValueError(f"latents of size {tuple(size)} do not divide into patches of {self.patch_size}")
        return tuple(length // patch for length, patch in zip(size, self.patch_size, strict=True))

    @staticmethod
    def recognises(keys: AbstractSet[str]) -> bool:
        """Whether a file with these keys holds this network, and nothing besides it."""
        return keys >= _TELLING_KEYS and all(_KEY.fullmatch(key) for key in keys)

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | tuple[int, ...]]:
        """The constructor's sizes, from the shapes in a file that `recognises` accepts.

        Raises:
            ValueError: the width is no multiple of 128, the width of a head in every published size.
        """
        dim, in_dim, *patch_size = shapes["patch_embedding.weight"]
        if dim % HEAD_DIM:
            raise ValueError(f"patch_embedding.weight has width {dim}, expected a multiple of {HEAD_DIM}")
        return {
            "dim": dim,
            "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
            "num_heads": dim // HEAD_DIM,
            "num_layers": 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("blocks.")),
            "in_dim": in_dim,
            "out_dim": shapes["head.head.weight"][0] // prod(patch_size),
            "text_dim": shapes["text_embedding.0.weight"][1],
            "freq_dim": shapes["time_embedding.0.weight"][1],
            "patch_size": tuple(patch_size),
        }


def rotary_dims(head_dim: int) -> tuple[int, int, int]:
    """Channels of a head that turn with time, height and width: 44, 42 and 42 of 128."""
    third = 2 * (head_dim // 6)
    return head_dim - 2 * third, third, third


def _checkpointed(block: WanBlock, tokens: Tensor, rest: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """The block, of which only `tokens` is saved for the way back: the rest is alive anyway, and shared by all."""
    return checkpoint(lambda tokens: block(tokens, *rest), tokens, use_reentrant=False)


def _unpatchify(patches: Tensor, grid: tuple[int, ...], patch_size: tuple[int, ...]) -> Tensor:
    """(B, S, prod(patch_size) * C), the channel fastest, to (B, C, T, H, W)."""
    cells = patches.unflatten(-1, (*patch_size, -1)).unflatten(1, grid)
    return cells.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def _same(known: Tensor | None, given: Tensor) -> bool:
    return known is given or (known is not None and known.shape == given.shape and torch.equal(known, given))
