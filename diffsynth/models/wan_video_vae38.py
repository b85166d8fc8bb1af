"""The Wan 2.2 video VAE, of Wan2.2-TI2V-5B: latents of 48 channels, a sixteenth of the size, a quarter of the frames.

Four pixels are one of the network's, and a shortcut around each level carries what a plain change of size makes of the
frames. Else it is the VAE of Wan 2.1, layer by layer. The names of the parameters are those of Wan2.2_VAE.pth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffsynth.models.causal_conv3d import Downsample, FrameHistory, Upsample
from diffsynth.models.wan_video_vae import TIME_HALVES, Decoder, Encoder, WanVideoVAE, residual_blocks

# Of the published VAE's latents, channel by channel: its latents are given to the DiT as (latent - mean) / deviation.
MEAN = (
    *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891),
    *(0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502),
    *(-0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723),
    *(-0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
)
DEVIATION = (
    *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901),
    *(0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659),
    *(0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944),
    *(0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
)

PATCH = 2  # pixels of a frame that are one of the network's, on each axis


class DownLevel(nn.Module):
    """Residual blocks, then half the height and width, and half the frames if ``time``; None: nothing is halved.

    Its shortcut is the mean of each square of four pixels; where the frames are halved, those of two frames stand side
    by side as channels.
    """

    def __init__(self, in_channels: int, out_channels: int, num_res_blocks: int, time: bool | None) -> None:
        super().__init__()
        self.halves, self.time = time is not None, bool(time)
        blocks = residual_blocks(in_channels, out_channels, num_res_blocks)
        if time is not None:
            blocks.append(Downsample(out_channels, time))
        self.downsamples = nn.ModuleList(blocks)

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        hidden = frames
        for block in self.downsamples:
            hidden = block(hidden, history)
        return hidden + self.shortcut(frames)

    def shortcut(self, frames: Tensor) -> Tensor:
        """(B, T, H, W, in_channels) to the size and channels of the level below."""
        if not self.halves:
            return frames
        batch, count, height, width, channels = frames.shape
        means = frames.view(batch, count, height // 2, 2, width // 2, 2, channels).mean(dim=(3, 5))
        if not self.time:
            return means
        if count % 2:  # the first of a stream, with nothing before it
            means = torch.cat([torch.zeros_like(means[:, :1]), means], dim=1)
        return torch.unflatten(means, 1, (-1, 2)).movedim(2, -1).flatten(-2)


class UpLevel(nn.Module):
    """Residual blocks, then twice the height and width, and twice the frames if ``time``; None: nothing is doubled.

    Its shortcut repeats each pixel; where the channels become fewer, the rows of a square come from different ones.
    """

    def __init__(self, in_channels: int, out_channels: int, num_res_blocks: int, time: bool | None) -> None:
        super().__init__()
        self.doubles, self.time = time is not None, bool(time)
        blocks = residual_blocks(in_channels, out_channels, num_res_blocks)
        if time is not None:
            blocks.append(Upsample(out_channels, time, out_channels))
        self.upsamples = nn.ModuleList(blocks)

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        hidden = frames
        for block in self.upsamples:
            hidden = block(hidden, history)
        if self.doubles:
            self.add_shortcut(hidden, frames)
        return hidden

    def add_shortcut(self, hidden: Tensor, frames: Tensor) -> None:
        """Adds to `hidden`, of the level above, what repeating makes of the `frames` of this level."""
        times = 2 if self.time else 1
        channels = hidden.shape[-1]
        of_channel = frames.shape[-1] // channels  # how many of this level's channels make one of the level above
        places = [(time, row, column) for time in range(times) for row in (0, 1) for column in (0, 1)]
        starts = hidden.shape[1] < times * frames.shape[1]
        for number, (time, row, column) in enumerate(places):
            source = frames[..., number * of_channel // len(places) :: of_channel]
            if starts and time == 0:  # the first frame of a stream is one, and the later ones of each pair
                source = source[:, 1:]
            offset = (time + times - 1) % times if starts else time
            hidden[:, offset::times, row::2, column::2] += source


class Encoder38(Encoder):
    """Frames to latents before ``conv1``."""

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        """In patches: (B, T, H, W, C) as (B, T, H / 2, W / 2, C * 4), of a channel a patch's columns after another."""
        batch, count, height, width, channels = frames.shape
        cut = frames.reshape(batch, count, height // PATCH, PATCH, width // PATCH, PATCH, channels)
        return super().forward(cut.permute(0, 1, 2, 4, 6, 5, 3).flatten(4), history)

    def levels(self, widths: Sequence[int], num_res_blocks: int) -> Iterator[nn.Module]:
        for pair, time in zip(pairwise(widths), (*TIME_HALVES, None), strict=True):
            yield DownLevel(*pair, num_res_blocks, time)


class Decoder38(Decoder):
    """Latents after ``conv2`` to frames, which it makes in the encoder's patches."""

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        made = torch.unflatten(super().forward(frames, history), -1, (-1, PATCH, PATCH))
        return made.permute(0, 1, 2, 6, 3, 5, 4).flatten(4, 5).flatten(2, 3)

    def levels(self, widths: Sequence[int], num_res_blocks: int) -> Iterator[nn.Module]:
        for pair, time in zip(pairwise(widths), (*reversed(TIME_HALVES), None), strict=True):
            yield UpLevel(*pair, num_res_blocks, time)


class WanVideoVAE38(WanVideoVAE):
    """Encodes and decodes videos as `WanVideoVAE` does, to latents of 16 x 16 pixels.

    Args:
        dim, decoder_dim: width of the first level, of the encoder and of the decoder.
        z_dim: channels of a latent. Latents of 48 are normalised with the published mean and deviation.
        num_res_blocks: of a level of the encoder; the decoder's have one more.
    """

    telling = (
        "encoder.downsamples.0.downsamples.0.residual.2.weight",
        "decoder.upsamples.0.upsamples.0.residual.2.weight",
    )

    pixels: ClassVar[int] = 16
    patch: ClassVar[int] = PATCH
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = (MEAN, DEVIATION)
    halves: ClassVar[tuple[type[Encoder], type[Decoder]]] = (Encoder38, Decoder38)

    def __init__(self, dim: int = 160, decoder_dim: int = 256, z_dim: int = 48, num_res_blocks: int = 2) -> None:
        super().__init__(dim, z_dim, num_res_blocks, decoder_dim=decoder_dim)

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The arguments that make a model of these tensors' shapes."""
        first = "encoder.downsamples.0.downsamples."
        return {
            "dim": shapes["encoder.conv1.weight"][0],
            "decoder_dim": shapes["decoder.head.2.weight"][1],
            "z_dim": shapes["conv2.weight"][0],
            "num_res_blocks": sum(key.startswith(first) and key.endswith(".residual.2.weight") for key in shapes),
        }
