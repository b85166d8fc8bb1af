"""The Z-Image diffusion transformer: noisy latents, a timestep and a prompt's features in, the flow's velocity out.

One stream: the picture's tokens and the prompt's are refined apart, and then go through the same blocks as one
sequence (Z-Image team, "Z-Image: An Efficient Image Generation Foundation Model with Single-Stream Diffusion
Transformer", 2025). Parameters have the names and shapes of the published files. Whatever the weights' type, the time
embedding, the statistics of the norms and the rotary embedding are float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.fused import OwnOperators, RMSNorm, modulated, operators_of, warm_up
from diffsynth.core.loader.detection import ToldByNames, blocks_below
from diffsynth.models.layers import (
    PATCH,
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
from diffsynth.models.rotary import PictureAndTextRotary

TOKENS_OF_A_GROUP = 32  # either stream is filled up to a multiple of it, with a token that was learned
_FREQUENCIES = 256  # cosines and sines that describe the timestep
_TIME_DIM, _TIME_HIDDEN = 256, 1024
_EPS, _LAST_EPS = 1e-5, 1e-6
_TIMESTEPS = 1000  # the network counts from noise (0) to clean
_THETA = 256.0


class SelfAttention(nn.Module, OwnOperators):
    """Attention among all tokens; queries and keys are normed and turned a head at a time."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.norm_q, self.norm_k = (nn.RMSNorm(head_dim, _EPS) for _ in range(2))
        self.to_out = ModuleList([nn.Linear(dim, dim, bias=False)])

    def forward(self, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Tokens (B, S, dim) to the same shape, with the rotary tables of all of them."""
        turned = operators_of(tokens, self.fused).normed_and_rotated
        query = turned(self.to_q(tokens), self.norm_q.weight, _EPS, self.head_dim, cos, sin)
        key = turned(self.to_k(tokens), self.norm_k.weight, _EPS, self.head_dim, cos, sin)
        value = torch.unflatten(self.to_v(tokens), -1, (-1, self.head_dim))
        return self.to_out[0](attention(query, key, value).flatten(2))


class FeedForward(nn.Module, OwnOperators):
    """A linear layer of what two others make, one of them gating the other (SwiGLU); on parts of the tokens in turn."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = int(dim / 3 * 8)
        self.w1, self.w3 = (nn.Linear(dim, hidden, bias=False) for _ in range(2))
        self.w2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, S, dim) to (B, S, dim)."""
        swiglu = operators_of(tokens, self.fused).swiglu
        return in_parts(lambda part: self.w2(swiglu(self.w1(part), self.w3(part))), tokens)


class ZImageBlock(nn.Module, OwnOperators):
    """Attention and a feed-forward network, each normed before and after; steered by the timestep if `modulated`."""

    def __init__(self, dim: int, head_dim: int, *, modulated: bool) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, head_dim)
        self.feed_forward = FeedForward(dim)
        self.attention_norm1, self.attention_norm2 = (nn.RMSNorm(dim, _EPS) for _ in range(2))
        self.ffn_norm1, self.ffn_norm2 = (nn.RMSNorm(dim, _EPS) for _ in range(2))
        if modulated:
            self.adaLN_modulation = nn.Sequential(nn.Linear(min(dim, _TIME_DIM), 4 * dim))

    def forward(self, tokens: Tensor, cos: Tensor, sin: Tensor, time: Tensor | None = None) -> Tensor:
        """One layer.

        Args:
            tokens: (B, S, dim); left unchanged.
            cos, sin: the rotary tables.
            time: the time embedding, (B, 256), in the type to compute in; None for a block that it does not steer.

        Returns:
            The new tokens.
        """
        before, after, ffn_before, ffn_after = self._gains(time)
        by = operators_of(tokens, self.fused)
        attended = self.attention(by.rms_normed(tokens, before, _EPS), cos, sin)
        tokens = by.added_rms_normed(tokens, attended, after, _EPS)
        fed = self.feed_forward(by.rms_normed(tokens, ffn_before, _EPS))
        added: Tensor = by.added_rms_normed(tokens, fed, ffn_after, _EPS)
        return added

    def _gains(self, time: Tensor | None) -> tuple[Tensor, ...]:
        """What the channels are scaled by in each of the four norms, (dim,) or (B, dim): the norm's own weight, and
        what the timestep makes of it."""
        norms = (self.attention_norm1, self.attention_norm2, self.ffn_norm1, self.ffn_norm2)
        own = tuple(norm.weight for norm in norms)
        if time is None:
            return own
        scale, gate, ffn_scale, ffn_gate = self.adaLN_modulation(time).chunk(4, dim=-1)
        factors = (1 + scale, gate.tanh(), 1 + ffn_scale, ffn_gate.tanh())
        return tuple(weight * factor for weight, factor in zip(own, factors, strict=True))


class TimestepEmbedder(nn.Module):
    """Timesteps (B,) to features (B, 256), float32."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(Float32Linear(_FREQUENCIES, _TIME_HIDDEN), nn.SiLU(), Float32Linear(_TIME_HIDDEN, dim))

    def forward(self, timestep: Tensor) -> Tensor:
        features: Tensor = self.mlp(sinusoid(timestep, _FREQUENCIES))
        return features


class FinalLayer(nn.Module):
    """A layer norm that the timestep scales, and what makes patches of tokens."""

    def __init__(self, dim: int, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, features)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(min(dim, _TIME_DIM), dim))

    def forward(self, tokens: Tensor, time: Tensor) -> Tensor:
        """Tokens (B, S, dim) and the time embedding (B, 256) to (B, S, features)."""
        scale = self.adaLN_modulation(time)
        return self.linear(modulated(tokens, torch.zeros_like(scale), scale, _LAST_EPS))


class ZImageDiT(nn.Module, ToldByNames):
    """The network of Z-Image and Z-Image-Turbo.

    Args:
        num_layers: blocks that both streams share.
        num_refiner_layers: blocks that each has of its own before them.
        num_heads, head_dim: of the attention; tokens are ``num_heads * head_dim`` wide, and `head_dim` is a multiple
            of 16.
        in_channels: of the latents, going in and coming out.
        text_dim: width of the prompt's features.

    Raises:
        ValueError: `head_dim` does not divide into the three axes of the rotary embedding.
    """

    telling = ("x_pad_token", "cap_embedder.1.weight", "layers.0.attention.to_q.weight", "t_embedder.mlp.0.weight")
    words = (
        "all_x_embedder all_final_layer 2-1 linear adaLN_modulation t_embedder mlp cap_embedder x_pad_token "
        "cap_pad_token layers noise_refiner context_refiner attention to_q to_k to_v to_out norm_q norm_k feed_forward "
        "w1 w2 w3 attention_norm1 attention_norm2 ffn_norm1 ffn_norm2 weight bias"
    )

    def __init__(
        self,
        num_layers: int = 30,
        num_refiner_layers: int = 2,
        num_heads: int = 30,
        head_dim: int = 128,
        in_channels: int = 16,
        text_dim: int = 2560,
    ) -> None:
        super().__init__()
        dim, features = num_heads * head_dim, in_channels * PATCH**2
        self.in_channels, self.text_dim = in_channels, text_dim
        # Published for patches of 2x2 in one frame, which their names say.
        self.all_x_embedder = ModuleDict({"2-1": nn.Linear(features, dim)})
        self.all_final_layer = ModuleDict({"2-1": FinalLayer(dim, features)})
        self.noise_refiner, self.context_refiner, self.layers = (
            ModuleList(ZImageBlock(dim, head_dim, modulated=modulated) for _ in range(count))
            for count, modulated in ((num_refiner_layers, True), (num_refiner_layers, False), (num_layers, True))
        )
        self.t_embedder = TimestepEmbedder(min(dim, _TIME_DIM))
        self.cap_embedder = nn.Sequential(RMSNorm(text_dim, _EPS), nn.Linear(text_dim, dim))
        self.x_pad_token, self.cap_pad_token = (nn.Parameter(torch.zeros(1, dim)) for _ in range(2))
        self.rotary = PictureAndTextRotary(rotary_dims(head_dim), _THETA)

    @property
    def blocks(self) -> ModuleList[ZImageBlock]:
        """The repeated part."""
        return self.layers

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        context: Tensor,
        *,
        use_gradient_checkpointing: bool = False,
        use_gradient_checkpointing_offload: bool = False,
    ) -> Tensor:
        """The velocity of the flow, float32, the shape of `latents`.

        Args:
            latents: (B, C, H, W) float32; H and W even.
            timestep: (B,) float32, 0 to 1000.
            context: the prompt's features, (B, L, text_dim), in the type to compute in, without padding.
            use_gradient_checkpointing: keep the tokens between the blocks only, and run each block again backwards.
            use_gradient_checkpointing_offload: the same, with the kept tokens in host memory.

        Raises:
            ValueError: latents of other channels or of an odd size.
        """
        rows, columns = grid_of(latents, self.in_channels, (PATCH, PATCH))
        picture = _filled(self.all_x_embedder["2-1"](patches(latents).to(context.dtype)), self.x_pad_token)
        text = _filled(self.cap_embedder(context), self.cap_pad_token)
        time = self.t_embedder(_TIMESTEPS - timestep).to(context.dtype)
        cos, sin = self.rotary.tables(((rows, columns), picture.shape[1], text.shape[1]), latents.device)
        of_picture, of_text = (tuple(table[part] for table in (cos, sin)) for part in _parts(picture.shape[1]))
        checkpointing = use_gradient_checkpointing or use_gradient_checkpointing_offload
        with torch.autograd.graph.save_on_cpu() if use_gradient_checkpointing_offload else nullcontext():
            picture = _through(self.noise_refiner, picture, (*of_picture, time), checkpointing)
            text = _through(self.context_refiner, text, of_text, checkpointing)
            tokens = _through(self.layers, torch.cat([picture, text], dim=1), (cos, sin, time), checkpointing)
        clean_less_noise = self.all_final_layer["2-1"](tokens[:, : rows * columns], time)
        return unpatched_from_channels_last(clean_less_noise, (rows, columns), (PATCH, PATCH)).float().neg()

    def warm_up(self, device: torch.device, dtype: torch.dtype) -> None:
        """Has the device load what the first forward would, and hold the angles that rotary tables are made of."""
        block = self.layers[0]
        head_dim, dim = block.attention.head_dim, block.attention.to_q.in_features
        warm_up(device, dtype, dim=dim, head_dim=head_dim, normed=head_dim)
        self.rotary.warm_up(device)

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The constructor's sizes, from the shapes in a file that `recognises` accepts."""
        dim, features = shapes["all_x_embedder.2-1.weight"]
        (head_dim,) = shapes["layers.0.attention.norm_q.weight"]
        return {
            "num_layers": blocks_below(shapes, "layers."),
            "num_refiner_layers": blocks_below(shapes, "noise_refiner."),
            "num_heads": dim // head_dim,
            "head_dim": head_dim,
            "in_channels": features // PATCH**2,
            "text_dim": shapes["cap_embedder.1.weight"][1],
        }


def _through(blocks: Iterable[ZImageBlock], tokens: Tensor, rest: tuple[Tensor, ...], checkpointing: bool) -> Tensor:
    for block in blocks:
        tokens = through(block, tokens, rest=rest, checkpointing=checkpointing)
    return tokens


def _filled(tokens: Tensor, filling: Tensor) -> Tensor:
    """Tokens (B, S, dim) with as many fillings (1, dim) after them as make S a multiple of `TOKENS_OF_A_GROUP`."""
    batch, length, dim = tokens.shape
    lacking = -length % TOKENS_OF_A_GROUP
    if not lacking:
        return tokens
    return torch.cat([tokens, filling.to(tokens.dtype).expand(batch, lacking, dim)], dim=1)


def _parts(length: int) -> tuple[slice, slice]:
    """The first `length` rows, and those after them."""
    return slice(length), slice(length, None)


def rotary_dims(head_dim: int) -> tuple[int, int, int]:
    """Channels of a head that turn with the place in the sequence, the rows and the columns: 32, 48 and 48 of 128."""
    if head_dim % 16:
        raise ValueError(f"head_dim={head_dim}: expected a multiple of 16")
    return head_dim // 4, head_dim * 3 // 8, head_dim * 3 // 8


def patches(latents: Tensor) -> Tensor:
    """(B, C, H, W) to tokens (B, S, 4 C), the channel fastest."""
    return cut_into_patches(latents, (PATCH, PATCH)).movedim(1, -1).flatten(3).flatten(1, 2)
