"""The Qwen-Image diffusion transformer: noisy latents, a timestep and a prompt's features in, the flow's velocity out.

Two streams, the prompt's tokens and the pictures', meet in one attention in every block. Parameters have the names and
shapes of the published files. Whatever the weights' type, the time embedding, the statistics of the norms and the
rotary embedding are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.fused import gated, gelu_of_linear, modulated, normed_and_rotated, warm_up
from diffsynth.core.loader.detection import ToldByNames
from diffsynth.models.layers import (
    PATCH,
    Float32Linear,
    ModuleDict,
    ModuleList,
    grid_of,
    in_parts,
    patches,
    sinusoid,
    through,
    unpatched,
)
from diffsynth.models.qwen_image_controlnet import NO_CONTROLS, Controls
from diffsynth.models.rotary import Rotary, TextAndPictures, TextAndPicturesRotary

_FREQUENCIES = 256  # cosines and sines that describe the timestep
_EPS = 1e-6  # of all norms


class TimestepEmbedder(nn.Module):
    """Timesteps (B,) to features (B, dim), float32."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear_1 = Float32Linear(_FREQUENCIES, dim)
        self.linear_2 = Float32Linear(dim, dim)

    def forward(self, timestep: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(sinusoid(timestep, _FREQUENCIES))))


class JointAttention(nn.Module):
    """Attention among the tokens of the prompt and of the pictures together, each with projections of its own.

    Attributes:
        attend: what computes it; another function of query, key and value may be put in its place.
    """

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = dim // head_dim, head_dim
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.add_q_proj, self.add_k_proj, self.add_v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_q, self.norm_k = (nn.RMSNorm(head_dim, _EPS) for _ in range(2))
        self.norm_added_q, self.norm_added_k = (nn.RMSNorm(head_dim, _EPS) for _ in range(2))
        self.to_out = ModuleList([nn.Linear(dim, dim)])
        self.to_add_out = nn.Linear(dim, dim)
        self.attend: Callable[..., Tensor] = attention

    def forward(
        self, pictures: Tensor, text: Tensor, cos: Tensor, sin: Tensor, attended: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, S, dim) and (B, L, dim) to the same shapes; the tables cover the text, then the pictures, as does
        the mask of what attends to what."""
        length = text.shape[1]
        of_text, of_pictures = (cos[:length], sin[:length]), (cos[length:], sin[length:])
        query, key = [
            torch.cat([self._turned(add(text), added, *of_text), self._turned(to(pictures), norm, *of_pictures)], dim=1)
            for add, added, to, norm in (
                (self.add_q_proj, self.norm_added_q, self.to_q, self.norm_q),
                (self.add_k_proj, self.norm_added_k, self.to_k, self.norm_k),
            )
        ]
        value = torch.cat([self._heads(self.add_v_proj(text)), self._heads(self.to_v(pictures))], dim=1)
        found = self.attend(query, key, value, mask=attended).flatten(2)
        return self.to_out[0](found[:, length:]), self.to_add_out(found[:, :length])

    def _turned(self, tokens: Tensor, norm: nn.RMSNorm, cos: Tensor, sin: Tensor) -> Tensor:
        return normed_and_rotated(tokens, norm.weight, _EPS, self.head_dim, cos, sin)

    def _heads(self, tokens: Tensor) -> Tensor:
        return torch.unflatten(tokens, -1, (-1, self.head_dim))


class GeluProjection(nn.Module):
    """A linear layer, then a GELU."""

    def __init__(self, dim: int, ffn_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, ffn_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return gelu_of_linear(self.proj, tokens)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between, run on a part of the tokens at a time."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net: ModuleDict[GeluProjection | nn.Linear] = ModuleDict(
            {"0": GeluProjection(dim, 4 * dim), "2": nn.Linear(4 * dim, dim)}
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim)."""
        return in_parts(lambda part: self.net["2"](self.net["0"](part)), tokens)


class Steered(NamedTuple):
    """How the timestep steers the pictures' tokens: by `of_made`, or after the first `made` of them by `of_others`.

    Either has six rows (B, dim): shift, scale and gate of the attention, then those of the feed-forward network.
    """

    of_made: Sequence[Tensor]
    of_others: Sequence[Tensor] | None
    made: int

    def modulated(self, tokens: Tensor, first: int) -> Tensor:
        """Normed, scaled and shifted by the rows from `first` on."""
        return self._each(lambda rows, part: modulated(part, rows[first], rows[first + 1], _EPS), tokens)

    def gated(self, tokens: Tensor, update: Tensor, first: int) -> Tensor:
        """With the update, by the gate after them."""
        return self._each(lambda rows, part, change: gated(part, change, rows[first + 2]), tokens, update)

    def _each(self, function: Callable[..., Tensor], *tokens: Tensor) -> Tensor:
        if self.of_others is None:
            return function(self.of_made, *tokens)
        made = function(self.of_made, *(each[:, : self.made] for each in tokens))
        return torch.cat([made, function(self.of_others, *(each[:, self.made :] for each in tokens))], dim=1)


class QwenImageBlock(nn.Module):
    """Joint attention and a feed-forward network for each stream, steered by the timestep."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.img_mod = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.txt_mod = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.attn = JointAttention(dim, head_dim)
        self.img_mlp = FeedForward(dim)
        self.txt_mlp = FeedForward(dim)

    def forward(
        self,
        pictures: Tensor,
        text: Tensor,
        time: Tensor,
        cos: Tensor,
        sin: Tensor,
        at_zero: Tensor | None = None,
        made: int = 0,
        attended: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One layer.

        Args:
            pictures: (B, S, dim); left unchanged, as is the text.
            text: (B, L, dim).
            time: the time embedding, (B, dim), in the type to compute in.
            cos, sin: the rotary tables.
            at_zero: the embedding of timestep 0, which steers the tokens of pictures after the first `made`; None: the
                same that steers those.
            attended: which tokens attend to which, (1 or B, 1, L + S, L + S); None: all to all.

        Returns:
            The new tokens of both.
        """
        of_made = self.img_mod(time).chunk(6, dim=-1)
        steered = Steered(of_made, None if at_zero is None else self.img_mod(at_zero).chunk(6, dim=-1), made)
        text_shift, text_scale, text_gate, ffn_shift, ffn_scale, ffn_gate = self.txt_mod(time).chunk(6, dim=-1)
        of_pictures, of_text = self.attn(
            steered.modulated(pictures, 0), modulated(text, text_shift, text_scale, _EPS), cos, sin, attended
        )
        pictures, text = steered.gated(pictures, of_pictures, 0), gated(text, of_text, text_gate)
        pictures = steered.gated(pictures, self.img_mlp(steered.modulated(pictures, 3)), 3)
        text = gated(text, self.txt_mlp(modulated(text, ffn_shift, ffn_scale, _EPS)), ffn_gate)
        return pictures, text


class LastNorm(nn.Module):
    """A layer norm that the timestep scales and shifts."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 2 * dim)

    def forward(self, tokens: Tensor, time: Tensor) -> Tensor:
        """Tokens (B, S, dim) and the time embedding (B, dim) to (B, S, dim)."""
        scale, shift = self.linear(F.silu(time)).chunk(2, dim=-1)
        return modulated(tokens, shift, scale, _EPS)


class QwenImageDiT(nn.Module, ToldByNames):
    """The network of Qwen-Image, Qwen-Image-Edit, Edit-2509 and Edit-2511, and of Qwen-Image-Layered.

    Args:
        num_layers: blocks.
        num_heads, head_dim: of the attention; tokens are ``num_heads * head_dim`` wide, and `head_dim` is a multiple
            of 16.
        in_features, out_features: numbers of a patch of 2x2 latents, going in and coming out.
        text_dim: width of the prompt's features.
        layered: makes the layers of a picture, the last of those it is given, which stands before them; and knows
            pictures with transparency from those without.

    Attributes:
        unpatch: what makes a picture of the last tokens; another function may be put in the place of `unpatched`.
        made_here: how many of the tokens of the picture that is made are on this device, of how many in all.
        own: of such tokens (B, S, width) those that are on this device.

    Raises:
        ValueError: `head_dim` does not divide into the three axes of the rotary embedding.
    """

    telling = ("img_in.weight", "txt_norm.weight", "norm_out.linear.weight", "transformer_blocks.0.img_mod.1.weight")
    words = (
        "time_text_embed timestep_embedder linear_1 linear_2 addition_t_embedding img_in txt_in txt_norm norm_out "
        "linear proj_out transformer_blocks img_mod txt_mod img_mlp txt_mlp net proj attn to_q to_k to_v add_q_proj "
        "add_k_proj add_v_proj to_out to_add_out norm_q norm_k norm_added_q norm_added_k weight bias"
    )

    def __init__(
        self,
        num_layers: int = 60,
        num_heads: int = 24,
        head_dim: int = 128,
        in_features: int = 64,
        out_features: int = 64,
        text_dim: int = 3584,
        layered: bool = False,
    ) -> None:
        super().__init__()
        dim = num_heads * head_dim
        self.in_features, self.text_dim, self.layered = in_features, text_dim, layered
        self.time_text_embed: ModuleDict[TimestepEmbedder | nn.Embedding] = ModuleDict(
            {"timestep_embedder": TimestepEmbedder(dim)}
        )
        if layered:
            self.time_text_embed["addition_t_embedding"] = nn.Embedding(2, dim)
        self.txt_norm = nn.RMSNorm(text_dim, _EPS)
        self.img_in = nn.Linear(in_features, dim)
        self.txt_in = nn.Linear(text_dim, dim)
        self.transformer_blocks = ModuleList(QwenImageBlock(dim, head_dim) for _ in range(num_layers))
        self.norm_out = LastNorm(dim)
        self.proj_out = nn.Linear(dim, out_features)
        self.rotary: Rotary[TextAndPictures] = TextAndPicturesRotary(rotary_dims(head_dim), last_before_first=layered)
        self.unpatch: Callable[[Tensor, int, int], Tensor] = unpatched
        self.made_here: Callable[[int], int] = int
        self.own: Callable[[Tensor], Tensor] = _whole

    @property
    def blocks(self) -> ModuleList[QwenImageBlock]:
        """The repeated part."""
        return self.transformer_blocks

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        context: Tensor,
        *,
        edit_latents: Sequence[Tensor] = (),
        zero_cond_t: bool = False,
        edit_rope_interpolation: bool = False,
        entities: Entities | None = None,
        controls: Controls = NO_CONTROLS,
        use_gradient_checkpointing: bool = False,
        use_gradient_checkpointing_offload: bool = False,
    ) -> Tensor:
        """The velocity of the flow, float32, the shape of `latents`.

        Args:
            latents: (B, C, H, W) float32; H and W even. Of a layered network (B, C, layers, H, W).
            timestep: (B,) float32, 0 to 1000.
            context: the prompt's features, (B, L, text_dim), in the type to compute in, without padding.
            edit_latents: of the pictures to start from, without noise; each (B, C, H', W') of a size of its own.
            zero_cond_t: steer their tokens by timestep 0, as Edit-2511 was trained.
            edit_rope_interpolation: place their tokens as far out as those of the picture that is made, whatever their
                size.
            entities: prompts of parts of the picture.
            controls: the ControlNets that change the picture's tokens between the blocks.
            use_gradient_checkpointing: keep the tokens between the blocks only, and run each block again backwards.
            use_gradient_checkpointing_offload: the same, with the kept tokens in host memory.

        Raises:
            ValueError: latents of other channels or of an odd size.
        """
        layers = latents.unbind(2) if latents.dim() == 5 else (latents,)
        given = (*layers, *edit_latents)
        grids = tuple((rows, columns) for rows, columns in map(self._grid, given))
        pictures = self.img_in(torch.cat([patches(picture) for picture in given], dim=1).to(context.dtype))
        texts = [context] if entities is None else entities.texts(context)
        lengths = tuple(text.shape[1] for text in texts)
        text = self.txt_in(self.txt_norm(torch.cat(texts, dim=1)))
        time = self._time(timestep, context.dtype)
        at_zero = self._time(torch.zeros_like(timestep), context.dtype) if zero_cond_t and edit_latents else None
        tables = self.rotary.tables((lengths, grids, edit_rope_interpolation), latents.device)
        attended = None if entities is None else entities.attended(lengths, grids, latents.device)
        rows, columns = len(layers) * grids[0][0], grids[0][1]
        made = self.made_here(rows * columns)
        controlling = controls.begun(pictures, self.own)

        def block_and_controls(
            pictures: Tensor, text: Tensor, number: int, block: QwenImageBlock
        ) -> tuple[Tensor, Tensor]:
            pictures, text = block(pictures, text, time, *tables, at_zero, made, attended)
            return controlling.after(number, pictures, made), text

        checkpointing = use_gradient_checkpointing or use_gradient_checkpointing_offload
        with torch.autograd.graph.save_on_cpu() if use_gradient_checkpointing_offload else nullcontext():
            for each in enumerate(self.transformer_blocks):
                pictures, text = through(block_and_controls, pictures, text, rest=each, checkpointing=checkpointing)
        velocity = self.proj_out(self.norm_out(pictures[:, : rows * columns], time))
        # Layers one above the other are a higher picture.
        return torch.unflatten(self.unpatch(velocity, rows, columns).float(), 2, latents.shape[2:-1])

    def _time(self, timestep: Tensor, dtype: torch.dtype) -> Tensor:
        """The timesteps (B,) embedded, (B, dim)."""
        time = self.time_text_embed["timestep_embedder"](timestep)
        if self.layered:
            kind = torch.zeros_like(timestep, dtype=torch.long)  # pictures with transparency, the only kind in use
            time = time + self.time_text_embed["addition_t_embedding"](kind).float()
        return time.to(dtype)

    def warm_up(self, device: torch.device, dtype: torch.dtype) -> None:
        """Has the device load what the first forward would, and hold the angles that rotary tables are made of."""
        attention = self.transformer_blocks[0].attn
        head_dim = attention.head_dim
        warm_up(device, dtype, dim=attention.num_heads * head_dim, head_dim=head_dim, normed=head_dim)
        self.rotary.warm_up(device)

    def _grid(self, latents: Tensor) -> tuple[int, ...]:
        return grid_of(latents, self.in_features // PATCH**2, (PATCH, PATCH))

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The constructor's sizes, from the shapes in a file that `recognises` accepts."""
        dim, in_features = shapes["img_in.weight"]
        (head_dim,) = shapes["transformer_blocks.0.attn.norm_q.weight"]
        return {
            "num_layers": 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("transformer_blocks.")),
            "num_heads": dim // head_dim,
            "head_dim": head_dim,
            "in_features": in_features,
            "out_features": shapes["proj_out.weight"][0],
            "text_dim": shapes["txt_in.weight"][1],
            "layered": "time_text_embed.addition_t_embedding.weight" in shapes,
        }


def _whole(tokens: Tensor) -> Tensor:
    return tokens


def rotary_dims(head_dim: int) -> tuple[int, int, int]:
    """Channels of a head that turn with the picture's number, its rows and its columns: 16, 56 and 56 of 128."""
    if head_dim % 32:
        raise ValueError(f"head_dim={head_dim}: expected a multiple of 32")
    number = head_dim // 8
    along = (head_dim - number) // 2
    return number, along, along


@dataclass(frozen=True)
class Entities:
    """What is to be where: prompts of entities besides the prompt, each for its own area of the picture.

    Zhang et al., "EliGen: Entity-Level Controlled Image Generation with Regional Attention", 2025. The tokens of a text
    attend to one another and to the picture's within its area, and the picture's tokens to the texts whose area they
    are in; no text attends to another. The prompt's own area is the whole picture.

    Attributes:
        masks: where each entity may be, (1 or B, entities, h, w), bool, a value for each latent cell of the picture.
        contexts: features of each entity's prompt, (1 or B, L, text_dim); None: for each entity those of the prompt.
    """

    masks: Tensor
    contexts: tuple[Tensor, ...] | None = None
    _kept: dict[object, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def texts(self, context: Tensor) -> list[Tensor]:
        """Features of all texts, the prompt's own (B, L, text_dim) last."""
        contexts = [context] * self.masks.shape[1] if self.contexts is None else self.contexts
        return [*(one.to(context).expand(len(context), -1, -1) for one in contexts), context]

    def attended(self, lengths: Sequence[int], grids: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
        """Which tokens attend to which, (1 or B, 1, tokens, tokens): of texts that long, then of pictures of so many
        rows and columns of tokens, each of which shows the same areas."""
        key = (tuple(lengths), tuple(grids), device)
        if key not in self._kept:
            self._kept[key] = self._attended(lengths, grids, device)
        return self._kept[key]

    def _attended(self, lengths: Sequence[int], grids: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
        masks = self.masks.to(device).float()
        areas = torch.cat([_tokens(masks, grid) for grid in grids], dim=2)
        areas = torch.cat([areas, torch.ones_like(areas[:, :1])], dim=1)  # the prompt's own
        of_texts = torch.cat([areas[:, text : text + 1].expand(-1, n, -1) for text, n in enumerate(lengths)], dim=1)
        length = sum(lengths)
        attended = torch.ones(len(areas), *[length + areas.shape[2]] * 2, dtype=torch.bool, device=device)
        attended[:, :length, :length] = False
        for end, n in zip(accumulate(lengths), lengths, strict=True):
            attended[:, end - n : end, end - n : end] = True
        attended[:, :length, length:] = of_texts
        attended[:, length:, :length] = of_texts.transpose(1, 2)
        return attended.unsqueeze(1)


def _tokens(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Whether any cell of each token is in an area: (1 or B, entities, rows * columns), of masks of 0 and 1."""
    size = tuple(PATCH * length for length in grid)
    if masks.shape[2:] != size:
        masks = F.interpolate(masks, size=size, mode="nearest")
    return F.max_pool2d(masks, PATCH).flatten(2) > 0
