"""FLUX's autoencoder, which Z-Image shares: pictures to latents of 16 channels, 8 pixels a cell, and back.

Parameters have the names that diffusers gave them in the published file (Rombach et al., "High-Resolution Image
Synthesis with Latent Diffusion Models", 2022, with 16 channels).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.loader.detection import ToldByNames
from diffsynth.models.layers import ModuleList

# Of the published configuration: a latent is what the encoder gives, less the shift, times the scale.
SHIFT, SCALE = 0.1159, 0.3611
_MULTIPLES = (1, 2, 4, 4)  # of the base width, from full resolution to the latents'
_RES_BLOCKS = 2  # of a level of the encoder; the decoder has one more
_GROUPS, _EPS = 32, 1e-6
_COLOURS = 3


class _Norm(nn.GroupNorm):
    """A group norm of 32 groups, fewer where a small network has not so many channels."""

    def __init__(self, width: int) -> None:
        super().__init__(math.gcd(_GROUPS, width), width, _EPS)


class ResBlock(nn.Module):
    """Two convolutions, each after a norm and a SiLU, beside what came in."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _Norm(width), _Norm(out_width)
        self.conv1 = nn.Conv2d(width, out_width, 3, padding=1)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1)
        if width != out_width:
            self.conv_shortcut = nn.Conv2d(width, out_width, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, width, H, W) to (B, out_width, H, W)."""
        change = self.conv1(F.silu(self.norm1(picture), inplace=True))
        change = self.conv2(F.silu(self.norm2(change), inplace=True))
        change += self.conv_shortcut(picture) if hasattr(self, "conv_shortcut") else picture
        return change


class CellAttention(nn.Module):
    """Attention among all cells, one head, beside what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.group_norm = _Norm(width)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = ModuleList([nn.Linear(width, width)])

    def forward(self, picture: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        cells = self.group_norm(picture).flatten(2).transpose(1, 2)
        query, key, value = (project(cells).unsqueeze(2) for project in (self.to_q, self.to_k, self.to_v))
        change = self.to_out[0](attention(query, key, value).flatten(2))
        return picture + torch.unflatten(change.transpose(1, 2), 2, picture.shape[2:])


class Middle(nn.Module):
    """The part at the latents' resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnets = ModuleList(ResBlock(width, width) for _ in range(2))
        self.attentions = ModuleList([CellAttention(width)])

    def forward(self, picture: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return self.resnets[1](self.attentions[0](self.resnets[0](picture)))


class Halving(nn.Module):
    """Half the height and width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, width, H, W), both even, to (B, width, H/2, W/2)."""
        return self.conv(F.pad(picture, (0, 1, 0, 1)))


class Doubling(nn.Module):
    """Twice the height and width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, width, H, W) to (B, width, 2H, 2W)."""
        return self.conv(F.interpolate(picture, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The blocks of one resolution, and what leads to the next, `downsamplers` or `upsamplers`, but for the last."""

    def __init__(self, width: int, out_width: int, blocks: int) -> None:
        super().__init__()
        self.resnets = ModuleList(ResBlock(*pair) for pair in pairwise([width] + [out_width] * blocks))

    def forward(self, picture: Tensor) -> Tensor:
        """(B, width, H, W) to (B, out_width, ...), at the next resolution if there is one."""
        for block in self.resnets:
            picture = block(picture)
        for name in ("downsamplers", "upsamplers"):
            for module in getattr(self, name, ()):
                picture = module(picture)
        return picture


class FluxVAEEncoder(nn.Module):
    """Pictures (B, 3, H, W) from -1 to 1, H and W multiples of 8, to latents (B, z_dim, H/8, W/8): their means.

    Args:
        dim: channels at full resolution.
        z_dim: of the latents.
    """

    def __init__(self, dim: int = 128, z_dim: int = 16) -> None:
        super().__init__()
        widths = [dim * multiple for multiple in _MULTIPLES]
        self.conv_in = nn.Conv2d(_COLOURS, dim, 3, padding=1)
        self.down_blocks = ModuleList(Level(*pair, _RES_BLOCKS) for pair in pairwise([dim, *widths]))
        for level, width in zip(self.down_blocks[:-1], widths, strict=False):
            level.downsamplers = ModuleList([Halving(width)])
        self.mid_block = Middle(widths[-1])
        self.conv_norm_out = _Norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 2 * z_dim, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """See the class."""
        cells = self.conv_in(picture)
        for level in self.down_blocks:
            cells = level(cells)
        moments = self.conv_out(F.silu(self.conv_norm_out(self.mid_block(cells)), inplace=True))
        return (moments.chunk(2, dim=1)[0] - SHIFT) * SCALE


class FluxVAEDecoder(nn.Module):
    """Latents (B, z_dim, h, w) to pictures (B, 3, 8h, 8w), about from -1 to 1.

    Args:
        dim: channels at full resolution.
        z_dim: of the latents.
    """

    def __init__(self, dim: int = 128, z_dim: int = 16) -> None:
        super().__init__()
        widths = [dim * multiple for multiple in reversed(_MULTIPLES)]
        self.conv_in = nn.Conv2d(z_dim, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0])
        self.up_blocks = ModuleList(Level(*pair, _RES_BLOCKS + 1) for pair in pairwise([widths[0], *widths]))
        for level, width in zip(self.up_blocks[:-1], widths, strict=False):
            level.upsamplers = ModuleList([Doubling(width)])
        self.conv_norm_out = _Norm(dim)
        self.conv_out = nn.Conv2d(dim, _COLOURS, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """See the class."""
        cells = self.mid_block(self.conv_in(latents / SCALE + SHIFT))
        for level in self.up_blocks:
            cells = level(cells)
        return self.conv_out(F.silu(self.conv_norm_out(cells), inplace=True))


class FluxVAE(nn.Module, ToldByNames):
    """Both halves. A file with quant_conv too, which changes latents after the encoder, is of another.

    Attributes:
        encoder, decoder: a `FluxVAEEncoder` and a `FluxVAEDecoder`.
    """

    telling = ("encoder.conv_in.weight", "decoder.conv_out.weight", "encoder.mid_block.attentions.0.group_norm.weight")
    words = (
        "encoder decoder conv_in conv_out conv_norm_out mid_block attentions resnets group_norm to_q to_k to_v to_out "
        "norm1 norm2 conv1 conv2 conv_shortcut conv down_blocks up_blocks downsamplers upsamplers weight bias"
    )

    def __init__(self, dim: int = 128, z_dim: int = 16) -> None:
        super().__init__()
        self.encoder, self.decoder = FluxVAEEncoder(dim, z_dim), FluxVAEDecoder(dim, z_dim)

    def encode(self, picture: Tensor) -> Tensor:
        """As `FluxVAEEncoder`."""
        return self.encoder(picture)

    def decode(self, latents: Tensor) -> Tensor:
        """As `FluxVAEDecoder`."""
        return self.decoder(latents)

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The arguments that make a model of these tensors' shapes."""
        return {"dim": shapes["encoder.conv_in.weight"][0], "z_dim": shapes["decoder.conv_in.weight"][1]}
