"""The Wan diffusion transformer: noisy video latents, a timestep and a prompt's features in, the flow's velocity out.

Parameters have the names and shapes of the published files. Whatever the weights' type, the time embedding, the
modulation that it steers, the statistics of the norms and the rotary embedding are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from math import prod
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.fused import gated, gelu_of_linear, modulated, normed_and_rotated, warm_up
from diffsynth.core.loader.detection import ToldByNames, blocks_below
from diffsynth.models.layers import (
    Float32Linear,
    ModuleDict,
    ModuleList,
    cut_into_patches,
    grid_of,
    in_parts,
    sinusoid,
    through,
    unpatched_from_channels_last,
)
from diffsynth.models.rotary import AxialRotary, Grid, Rotary

# Every published size has heads of this width; the files do not say how many heads there are.
HEAD_DIM = 128

# Pixels of a latent cell, on each axis, where a camera's path is told for each pixel.
CAMERA_PIXELS = 8


# Of one attention of a block to what is no video: the keys and the values, each (B, L, heads, head_dim).
KeysValues = tuple[Tensor, Tensor]


class StepCache(Protocol):
    """What may spare a step its blocks, such as `diffsynth.diffusion.tea_cache.TeaCache`."""

    def skip(self, modulation: Tensor, tokens: Tensor) -> Tensor | None:
        """The tokens as they would leave the blocks, or None where the blocks have to run."""

    def store(self, before: Tensor, after: Tensor) -> None:
        """Takes note of what the blocks did."""


class Guide(Protocol):
    """What adds to the tokens between the blocks, such as `diffsynth.models.wan_video_vace.Vace`."""

    def hints(self, model: WanModel, tokens: Tensor, course: Course) -> Iterator[Tensor | None]:
        """What to add behind each block of a forward of the model, whose tokens are these before the first: (B, S, dim)
        for each in its turn, or None for nothing. Each is asked for behind its block."""


@dataclass(eq=False)
class TextCache:
    """A prompt as one model sees it: computed in the first step, the same in all others of a generation.

    Holds the embedded features of the prompt, and of a picture, and each block's keys and values of them. It belongs to
    one model, one prompt and one picture: make another for the negative prompt, and for the second expert. It takes
    2 * layers * B * L * dim numbers.

    Attributes:
        keys_values: of the prompt, and of the picture, by block; empty before the first step.
    """

    keys_values: dict[nn.Module, tuple[KeysValues, ...]] = field(default_factory=dict)
    _model: WanModel | None = None
    _given: tuple[Tensor, ...] = ()
    _embedded: tuple[Tensor, ...] = ()

    def embedded(self, model: WanModel, *given: Tensor) -> tuple[Tensor, ...]:
        """The prompt's features (B, L, text_dim), and those of a picture, in the width of the model, (B, L, dim) each.

        Raises:
            ValueError: the cache was filled by another model, or from another prompt or picture.
        """
        if self._model is None:
            self._model, self._given = model, given
            self._embedded = model.embedded(*given)
        elif self._model is not model or len(given) != len(self._given) or not all(map(_same, self._given, given)):
            raise ValueError("a TextCache holds one prompt as one model sees it: make a new one for each")
        return self._embedded


class PatchEmbedding(nn.Conv3d):
    """A convolution whose kernel is its stride, computed as what it is: a matmul over patches."""

    def forward(self, latents: Tensor) -> Tensor:
        """(B, C, T, H, W), each axis a multiple of the patch's, to tokens (B, S, dim)."""
        patches = cut_into_patches(latents, self.kernel_size).movedim(1, 4).flatten(4).flatten(1, 3)
        return F.linear(patches.to(self.weight.dtype), self.weight.flatten(1), self.bias)


class Attention(nn.Module):
    """The layers of an attention, whose norms are over all heads together."""

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.num_heads, self.eps = num_heads, eps
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = (nn.RMSNorm(dim, eps) for _ in range(2))

    def _heads(self, tokens: Tensor) -> Tensor:
        return torch.unflatten(tokens, -1, (self.num_heads, -1))


class SelfAttention(Attention):
    """Attention among the video's tokens, with a rotary embedding of their places.

    Attributes:
        attend: what computes it; another function of query, key and value may be put in its place. Nothing else uses
            the three tensors that it gets.
    """

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__(dim, num_heads, eps)
        self.attend: Callable[[Tensor, Tensor, Tensor], Tensor] = attention

    def forward(self, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim); the tables are those of `normed_and_rotated`."""
        query = self._turned(self.q(tokens), self.norm_q, cos, sin)
        key = self._turned(self.k(tokens), self.norm_k, cos, sin)
        value = self._heads(self.v(tokens))
        return self.o(self.attend(query, key, value).flatten(2))

    def _turned(self, tokens: Tensor, norm: nn.RMSNorm, cos: Tensor, sin: Tensor) -> Tensor:
        return normed_and_rotated(tokens, norm.weight, self.eps, tokens.shape[-1] // self.num_heads, cos, sin)


class CrossAttention(Attention):
    """Attention of the video's tokens to the prompt's, and to a picture's: no places.

    Args:
        to_picture: whether it has keys and values of a picture.
    """

    def __init__(self, dim: int, num_heads: int, eps: float, to_picture: bool = False) -> None:
        super().__init__(dim, num_heads, eps)
        if to_picture:
            self.k_img = nn.Linear(dim, dim)
            self.v_img = nn.Linear(dim, dim)
            self.norm_k_img = nn.RMSNorm(dim, eps)

    def keys_values(self, context: Tensor, picture: Tensor | None = None) -> tuple[KeysValues, ...]:
        """Of the prompt (B, L, dim), and of the picture where there is one."""
        of_text = self._heads(self.norm_k(self.k(context))), self._heads(self.v(context))
        if picture is None:
            return (of_text,)
        return of_text, (self._heads(self.norm_k_img(self.k_img(picture))), self._heads(self.v_img(picture)))

    def forward(self, tokens: Tensor, keys_values: tuple[KeysValues, ...]) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim); keys and values are of B, or of one that all share."""
        query = self._heads(self.norm_q(self.q(tokens)))
        attended = [
            attention(query, *(shared.expand(len(tokens), -1, -1, -1) for shared in pair)) for pair in keys_values
        ]
        return self.o(sum(attended[1:], start=attended[0]).flatten(2))


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between, run on a part of the tokens at a time."""

    def __init__(self, dim: int, ffn_dim: int) -> None:
        super().__init__(nn.Linear(dim, ffn_dim), nn.GELU("tanh"), nn.Linear(ffn_dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim)."""
        return in_parts(lambda part: self[2](gelu_of_linear(self[0], part)), tokens, whole=0)


class WanBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward network, the first and the last steered by the timestep."""

    def __init__(self, dim: int, ffn_dim: int, num_heads: int, eps: float, to_picture: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.modulation = nn.Parameter(nn.init.normal_(torch.empty(1, 6, dim), std=dim**-0.5))
        self.self_attn = SelfAttention(dim, num_heads, eps)
        self.norm3 = nn.LayerNorm(dim, eps=eps)
        self.cross_attn = CrossAttention(dim, num_heads, eps, to_picture)
        self.ffn = FeedForward(dim, ffn_dim)

    def forward(
        self,
        tokens: Tensor,
        context: tuple[Tensor, ...],
        time: Tensor,
        cos: Tensor,
        sin: Tensor,
        keys_values: tuple[KeysValues, ...] | None = None,
        lengths: tuple[int, ...] | None = None,
    ) -> tuple[Tensor, tuple[KeysValues, ...]]:
        """One layer.

        Args:
            tokens: (B, S, dim); left unchanged.
            context: the prompt, (B, L, dim), and a picture where the model takes one.
            time: the projected time embeddings, (B * G, 6, dim), float32, of G groups of tokens.
            cos, sin: the rotary tables.
            keys_values: of the context in this block, where they are known.
            lengths: tokens of each group; None where all are of one length.

        Returns:
            The new tokens, and the context's keys and values.
        """
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (self.modulation.float() + time).unbind(dim=1)
        updated = self.self_attn(modulated_in_groups(tokens, shift, scale, self.eps, lengths), cos, sin)
        tokens = _in_groups(gated, (tokens, updated), (gate,), lengths)
        if keys_values is None:
            keys_values = self.cross_attn.keys_values(*context)
        tokens = tokens + self.cross_attn(self.norm3(tokens), keys_values)
        updated = self.ffn(modulated_in_groups(tokens, ffn_shift, ffn_scale, self.eps, lengths))
        return _in_groups(gated, (tokens, updated), (ffn_gate,), lengths), keys_values


@dataclass(frozen=True)
class Course:
    """What all blocks of a forward are given; see `WanBlock.forward`.

    Attributes:
        checkpointing: run each block again on the way back, and keep only the tokens between them.
        cache: of the context's keys and values.
    """

    context: tuple[Tensor, ...]
    time: Tensor
    tables: tuple[Tensor, Tensor]
    checkpointing: bool
    lengths: tuple[int, ...] | None
    cache: TextCache | None

    def through(self, block: WanBlock, tokens: Any) -> Any:
        """The tokens behind a block."""
        known = None if self.cache is None else self.cache.keys_values.get(block)
        rest = (self.context, self.time, *self.tables, known, self.lengths)
        tokens, keys_values = through(block, tokens, rest=rest, checkpointing=self.checkpointing)
        if self.cache is not None:
            self.cache.keys_values[block] = keys_values
        return tokens


def modulated_in_groups(
    tokens: Tensor, shift: Tensor, scale: Tensor, eps: float, lengths: tuple[int, ...] | None
) -> Tensor:
    """`modulated` of tokens (B, S, dim) in groups, whose shift and scale are (B * G, dim)."""
    return _in_groups(partial(modulated, eps=eps), (tokens,), (shift, scale), lengths)


def _in_groups(
    operator: Callable[..., Tensor],
    tokens: tuple[Tensor, ...],
    rows: tuple[Tensor, ...],
    lengths: tuple[int, ...] | None,
) -> Tensor:
    """What an operator makes of tokens (B, S, dim) in groups, each with its rows of (B * G, dim)."""
    if lengths is None:
        groups = [each.reshape(len(rows[0]), -1, each.shape[-1]) for each in tokens]
        return operator(*groups, *rows).reshape(tokens[0].shape)
    parts = [each.split_with_sizes(lengths, dim=1) for each in tokens]
    rows_of_parts = [torch.unflatten(each, 0, (-1, len(lengths))).unbind(1) for each in rows]
    return torch.cat(list(map(operator, *parts, *rows_of_parts)), dim=1)


class Head(nn.Module):
    """Tokens to the numbers of their patches."""

    def __init__(self, dim: int, out_features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.modulation = nn.Parameter(nn.init.normal_(torch.empty(1, 2, dim), std=dim**-0.5))
        self.head = nn.Linear(dim, out_features)

    def forward(self, tokens: Tensor, time: Tensor, lengths: tuple[int, ...] | None = None) -> Tensor:
        """Tokens (B, S, dim) in G groups, and the time embeddings (B * G, dim) float32, to (B, S, out_features)."""
        shift, scale = (self.modulation.float() + time.unsqueeze(1)).unbind(dim=1)
        return self.head(modulated_in_groups(tokens, shift, scale, self.eps, lengths))


class PictureEmbedding(nn.Module):
    """A picture's features in the width of the model. The numbers are the layers' places in the published file.

    Args:
        features: width of the features going in.
        positions: tokens of all pictures together, where their places are told apart; 0 where they are not.
    """

    def __init__(self, features: int, dim: int, positions: int) -> None:
        super().__init__()
        self.emb_pos = nn.Parameter(torch.zeros(1, positions, features)) if positions else None
        self.proj: ModuleDict[nn.LayerNorm | nn.Linear] = ModuleDict(
            {
                "0": nn.LayerNorm(features),
                "1": nn.Linear(features, features),
                "3": nn.Linear(features, dim),
                "4": nn.LayerNorm(dim),
            }
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, features) to (B, L, dim).

        Raises:
            ValueError: L is another number than that of the positions.
        """
        if self.emb_pos is not None:
            if features.shape[1] != self.emb_pos.shape[1]:
                raise ValueError(
                    f"the pictures have {features.shape[1]} tokens, and this model takes {self.emb_pos.shape[1]}: "
                    "those of a first and of a last frame"
                )
            features = features + self.emb_pos.to(features.dtype)
        features = F.gelu(self.proj["1"](self.proj["0"](features)))
        return self.proj["4"](self.proj["3"](features))


class ReferenceEmbedding(nn.Conv2d):
    """The latents of one frame (B, C, H, W) to tokens (B, S, dim); its kernel is its stride."""

    def forward(self, latents: Tensor) -> Tensor:
        return super().forward(latents.to(self.weight.dtype)).flatten(2).transpose(1, 2)


class CameraAdapter(nn.Module):
    """What a camera's path adds to the tokens: rays of each pixel, in the tokens' grid.

    Args:
        channels: numbers of a pixel: six for each of the frames that make a latent frame.
    """

    def __init__(self, channels: int, dim: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels * CAMERA_PIXELS**2, dim, kernel_size=patch, stride=patch)
        self.residual_blocks = ModuleList([_CameraBlock(dim)])

    def forward(self, rays: Tensor) -> Tensor:
        """(B, channels, T, height, width in pixels) to (B, S, dim)."""
        frames = rays.shape[2]
        images = F.pixel_unshuffle(rays.transpose(1, 2).flatten(0, 1), CAMERA_PIXELS)
        features = self.conv(images)
        for block in self.residual_blocks:
            features = block(features)
        return torch.unflatten(features, 0, (-1, frames)).movedim(2, -1).flatten(1, 3)


class _CameraBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv2(F.relu(self.conv1(features)))


_DIFFUSERS_PROJECTIONS = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}


def _all_tokens(tokens: Tensor) -> Tensor:
    return tokens


def _all_frames(timestep: Tensor, tokens: int) -> tuple[Tensor, None]:
    return timestep, None


class WanModel(nn.Module, ToldByNames):
    """The network of all Wan2.1 and Wan2.2 models here, and of either expert of Wan2.2-A14B.

    Args:
        dim: width of the tokens, a multiple of `num_heads`; an even number for each head.
        ffn_dim: width within the feed-forward networks.
        num_heads, num_layers: of the blocks.
        in_dim, out_dim: channels of the latents going in and of the velocity coming out.
        text_dim: width of the prompt's features.
        freq_dim: number of cosines and sines that describe the timestep, even.
        patch_size: latent cells of a token, (frames, rows, columns).
        eps: of all norms.
        picture_dim: width of a picture's features, where the blocks attend to a picture; 0 where they do not.
        picture_positions: tokens of a first and a last picture together, where the model tells them apart; else 0.
        reference_dim: channels of a reference frame's latents, where it takes one; else 0.
        camera_dim: numbers of a pixel that tell a camera's path, where it takes one; else 0.

    Attributes:
        own_tokens: of the tokens (B, S, dim) before the blocks, those that go through them here: all, unless another
            function is put in its place.
        own_frames: of timesteps (B, T), each for so many tokens, those of the tokens that go through the blocks here,
            and how many tokens each has; None where that is the same for all.

    Raises:
        ValueError: the heads do not divide `dim` into even widths.
    """

    telling = ("patch_embedding.weight", "time_projection.1.weight", "head.modulation", "blocks.0.modulation")
    words = (
        "patch_embedding text_embedding time_embedding time_projection head modulation blocks norm3 ffn self_attn "
        "cross_attn q k v o norm_q norm_k k_img v_img norm_k_img img_emb proj emb_pos ref_conv control_adapter conv "
        "residual_blocks conv1 conv2 weight bias"
    )

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
        "cross_attn.k_img": "attn2.add_k_proj",
        "cross_attn.v_img": "attn2.add_v_proj",
        "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
        "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
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
        picture_dim: int = 0,
        picture_positions: int = 0,
        reference_dim: int = 0,
        camera_dim: int = 0,
    ) -> None:
        super().__init__()
        if dim % (2 * num_heads):
            raise ValueError(f"dim={dim} does not divide into num_heads={num_heads} heads of even width")
        self.in_dim, self.out_dim, self.text_dim = in_dim, out_dim, text_dim
        self.freq_dim, self.patch_size = freq_dim, patch_size
        self.patch_embedding = PatchEmbedding(in_dim, dim, kernel_size=patch_size, stride=patch_size)
        self.text_embedding = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU("tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(Float32Linear(freq_dim, dim), nn.SiLU(), Float32Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), Float32Linear(dim, 6 * dim))
        self.img_emb = PictureEmbedding(picture_dim, dim, picture_positions) if picture_dim else None
        spatial = patch_size[1:]
        self.ref_conv = ReferenceEmbedding(reference_dim, dim, spatial, spatial) if reference_dim else None
        self.control_adapter = CameraAdapter(camera_dim, dim, spatial) if camera_dim else None
        self.blocks = ModuleList(
            WanBlock(dim, ffn_dim, num_heads, eps, to_picture=bool(picture_dim)) for _ in range(num_layers)
        )
        self.head = Head(dim, out_dim * prod(patch_size), eps)
        self.rotary: Rotary[Grid] = AxialRotary(rotary_dims(dim // num_heads))
        self.own_tokens: Callable[[Tensor], Tensor] = _all_tokens
        self.own_frames: Callable[[Tensor, int], tuple[Tensor, tuple[int, ...] | None]] = _all_frames

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        context: Tensor,
        *,
        picture: Tensor | None = None,
        reference: Tensor | None = None,
        camera: Tensor | None = None,
        guide: Guide | None = None,
        text_cache: TextCache | None = None,
        step_cache: StepCache | None = None,
        use_gradient_checkpointing: bool = False,
        use_gradient_checkpointing_offload: bool = False,
    ) -> Tensor:
        """The velocity of the flow, float32, (B, out_dim, T, H, W).

        Args:
            latents: (B, in_dim, T, H, W) float32; T, H and W multiples of the patch's.
            timestep: (B,) float32, 0 to 1000; or (B, T / frames of a patch), one for each frame of tokens.
            context: the prompt's features, (B, L, text_dim), in the type to compute in; or (1, L, text_dim) of a prompt
                that all share.
            picture: features (B or 1, L, picture_dim) of the picture that the blocks attend to.
            reference: latents (B, reference_dim, H, W) of a frame whose tokens stand before the video's.
            camera: rays (B, camera_dim, T, height, width in pixels), as `CameraAdapter` takes them.
            guide: adds to the tokens between the blocks.
            text_cache: keeps what depends on the prompt and the picture alone from step to step.
            step_cache: may skip the blocks.
            use_gradient_checkpointing: keep the tokens between the blocks only, and run each block again backwards.
            use_gradient_checkpointing_offload: the same, with the kept tokens in host memory.

        Raises:
            ValueError: latents of other channels or a size that is no multiple of the patch's; a used `text_cache`
                with another prompt or of another model; a picture, a reference or a camera's path for a model that
                takes none, or none for one that needs it.
        """
        grid = grid_of(latents, self.in_dim, self.patch_size)
        self._check_conditions(timestep, grid[0], picture=picture, reference=reference, camera=camera)
        tokens = self.patch_embedding(latents).to(context.dtype)
        if self.control_adapter is not None and camera is not None:
            tokens = tokens + self.control_adapter(camera.to(context.dtype))
        if self.ref_conv is not None and reference is not None:
            tokens = torch.cat([self.ref_conv(reference).to(tokens.dtype).expand(len(tokens), -1, -1), tokens], dim=1)
            grid = (grid[0] + 1, *grid[1:])
        tokens, lengths = self.own_tokens(tokens), None
        if timestep.ndim == 2:
            timestep, lengths = self.own_frames(timestep, grid[1] * grid[2])
        time = self.time_embedding(sinusoid(timestep.flatten(), self.freq_dim))
        time_of_blocks = torch.unflatten(self.time_projection(time), -1, (6, -1))
        after = None if step_cache is None else step_cache.skip(time_of_blocks, tokens)
        if after is None:
            checkpointing = use_gradient_checkpointing or use_gradient_checkpointing_offload
            given = (context,) if picture is None else (context, picture.to(context.dtype))
            embedded = self.embedded(*given) if text_cache is None else text_cache.embedded(self, *given)
            tables = self.rotary.tables(grid, latents.device)
            course = Course(embedded, time_of_blocks, tables, checkpointing, lengths, text_cache)
            with torch.autograd.graph.save_on_cpu() if use_gradient_checkpointing_offload else nullcontext():
                after = self._through_blocks(tokens, course, guide)
            if step_cache is not None:
                step_cache.store(tokens, after)
        patches = self.head(after, time, lengths).float()
        if reference is not None:
            patches, grid = patches[:, grid[1] * grid[2] :], (grid[0] - 1, *grid[1:])
        return unpatched_from_channels_last(patches, grid, self.patch_size)

    def embedded(self, context: Tensor, picture: Tensor | None = None) -> tuple[Tensor, ...]:
        """The prompt's features, and those of a picture, in the width of the model."""
        text = self.text_embedding(context)
        return (text,) if picture is None or self.img_emb is None else (text, self.img_emb(picture))

    def warm_up(self, device: torch.device, dtype: torch.dtype) -> None:
        """Has the device load what the first forward would, and hold the angles that rotary tables are made of."""
        attention = self.blocks[0].self_attn
        dim = attention.norm_q.weight.shape[0]
        warm_up(device, dtype, dim=dim, head_dim=dim // attention.num_heads, normed=dim)
        self.rotary.warm_up(device)

    def _through_blocks(self, tokens: Tensor, course: Course, guide: Guide | None) -> Tensor:
        hints = repeat(None) if guide is None else guide.hints(self, tokens, course)
        for block in self.blocks:
            tokens = course.through(block, tokens)
            if (hint := next(hints)) is not None:
                tokens = tokens + hint
        return tokens

    def _check_conditions(self, timestep: Tensor, frames: int, **given: Tensor | None) -> None:
        takers = {"picture": self.img_emb, "reference": self.ref_conv, "camera": self.control_adapter}
        for name, condition in given.items():
            if condition is not None and takers[name] is None:
                raise ValueError(f"a {name} was given, and this model takes none")
        if self.img_emb is not None and given["picture"] is None:
            raise ValueError("this model attends to a picture, and no picture's features were given")
        if timestep.ndim == 2 and (timestep.shape[1] != frames or given["reference"] is not None):
            raise ValueError(
                f"timesteps of shape {tuple(timestep.shape)}: expected one for each sample, or for each of its "
                f"{frames} frames of tokens where no reference stands before them"
            )

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | tuple[int, ...]]:
        """The constructor's sizes, from the shapes in a file that `recognises` accepts; raises as `sizes_of_blocks`."""
        sizes = sizes_of_blocks(shapes, "patch_embedding", "blocks")
        return {
            **sizes,
            "out_dim": shapes["head.head.weight"][0] // prod(sizes["patch_size"]),
            "text_dim": shapes["text_embedding.0.weight"][1],
            "freq_dim": shapes["time_embedding.0.weight"][1],
            "picture_dim": _axis(shapes, "img_emb.proj.0.weight", 0),
            "picture_positions": _axis(shapes, "img_emb.emb_pos", 1),
            "reference_dim": _axis(shapes, "ref_conv.weight", 1),
            "camera_dim": _axis(shapes, "control_adapter.conv.weight", 1) // CAMERA_PIXELS**2,
        }


def sizes_of_blocks(shapes: Mapping[str, tuple[int, ...]], embedding: str, blocks: str) -> dict[str, Any]:
    """The sizes that a network's embedding of patches and its blocks have, by the names of both in a file.

    Raises:
        ValueError: the width is no multiple of 128, the width of a head in every published size.
    """
    dim, in_dim, *patch_size = shapes[f"{embedding}.weight"]
    if dim % HEAD_DIM:
        raise ValueError(f"{embedding}.weight has width {dim}, expected a multiple of {HEAD_DIM}")
    return {
        "dim": dim,
        "ffn_dim": shapes[f"{blocks}.0.ffn.0.weight"][0],
        "num_heads": dim // HEAD_DIM,
        "num_layers": blocks_below(shapes, f"{blocks}."),
        "in_dim": in_dim,
        "patch_size": tuple(patch_size),
    }


def rotary_dims(head_dim: int) -> tuple[int, int, int]:
    """Channels of a head that turn with time, height and width: 44, 42 and 42 of 128."""
    third = 2 * (head_dim // 6)
    return head_dim - 2 * third, third, third


def _axis(shapes: Mapping[str, tuple[int, ...]], key: str, axis: int) -> int:
    """The length of a tensor's axis; 0 where there is no such tensor."""
    return shapes[key][axis] if key in shapes else 0


def _same(known: Tensor, given: Tensor) -> bool:
    """Whether they are equal; one that is the other is not read."""
    one_memory = (
        known.data_ptr() == given.data_ptr() and known.stride() == given.stride() and known.dtype == given.dtype
    )
    return known.shape == given.shape and (known is given or one_memory or torch.equal(known, given))
