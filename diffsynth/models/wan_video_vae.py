"""The Wan 2.1 video VAE: videos to latents of an eighth of the size and a quarter of the frames, and back.

Frames come in chunks, and layers that look back keep their last frames (``causal_conv3d``): memory does not grow with
the length of the video. The names of the parameters are those of Wan2.1_VAE.pth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.fused import normed_and_activated
from diffsynth.core.loader.detection import ToldByNames
from diffsynth.models.causal_conv3d import CausalConv3d, Convolve, Downsample, FrameHistory, Upsample, each_frame
from diffsynth.models.tiles import Tile, batches, tiles_over, whole

PIXELS = 8  # of a latent cell, on each axis
FRAMES = 4  # of a latent frame, but one of the first
COLOURS = 3
WIDTHS = (1, 2, 4, 4)  # of the levels, times ``dim``, from full size down
TIME_HALVES = (False, True, True)  # whether time is halved too between each two levels

# Of the published VAE's latents, channel by channel: its latents are given to the DiT as (latent - mean) / deviation.
MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
DEVIATION = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)

# Bytes that a tile's activations take at their peak for each byte of a full-size frame ``dim`` channels wide, and each
# frame of a chunk: counted on the emulated NPU, 10 to 13 when encoding and 13 to 15 when decoding.
PEAK_FRAMES = 16

NORM_EPS = 1e-24

Progress = Callable[[Iterable[Tile]], Iterable[Tile]]


class ChannelNorm(nn.Module):
    """Divides each pixel by the root mean square of its channels; statistics are float32."""

    def __init__(self, channels: int, trailing: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * trailing))

    def forward(self, frames: Tensor, activate: bool = False) -> Tensor:
        """The normed frames; ``activate``: a SiLU of them."""
        if activate:
            return normed_and_activated(frames, self.gamma.flatten(), NORM_EPS)
        return F.rms_norm(frames, (self.gamma.shape[0],), self.gamma.flatten(), eps=NORM_EPS)


class ResidualBlock(nn.Module):
    """Two normed convolutions beside a shortcut. The numbers are the layers' places in the published file."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": ChannelNorm(in_channels),
                "2": CausalConv3d(in_channels, out_channels, (3, 3, 3)),
                "3": ChannelNorm(out_channels),
                "6": CausalConv3d(out_channels, out_channels, (3, 3, 3)),
            }
        )
        self.shortcut = CausalConv3d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        hidden: Tensor = self.residual["0"](frames, activate=True)
        hidden = self.residual["2"](hidden, history)
        hidden = self.residual["3"](hidden, activate=True)
        hidden = self.residual["6"](hidden, history)
        hidden += frames if self.shortcut is None else self.shortcut(frames, history)
        return hidden


class FrameAttention(nn.Module):
    """Self-attention of one head among the pixels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, trailing=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        joint = each_frame(self.to_qkv, self.norm(frames))
        query, key, value = joint.flatten(0, 1).flatten(1, 2).unsqueeze(2).chunk(3, dim=-1)
        attended = attention(query, key, value).reshape(frames.shape)
        return frames + each_frame(self.proj, attended)


class Half(nn.Module):
    """One way through the network: its parts, and blocks within them, run in the order in which they are registered."""

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        for part in self.children():
            for block in part if isinstance(part, nn.ModuleList) else (part,):
                frames = block(frames, history)
        return frames


class Encoder(Half):
    """Frames of a video to latents before ``conv1``."""

    def __init__(self, dim: int, out_channels: int, num_res_blocks: int, colours: int = COLOURS) -> None:
        super().__init__()
        self.conv1 = CausalConv3d(colours, dim, (3, 3, 3))
        self.downsamples = nn.ModuleList(self.levels([dim, *(dim * multiple for multiple in WIDTHS)], num_res_blocks))
        self.middle = middle_blocks(dim * WIDTHS[-1])
        self.head = Head(dim * WIDTHS[-1], out_channels)

    def levels(self, widths: Sequence[int], num_res_blocks: int) -> Iterator[nn.Module]:
        """The blocks from full size down; `widths` are those going in, and of each level."""
        for level, (before, width) in enumerate(pairwise(widths)):
            yield from residual_blocks(before, width, num_res_blocks)
            if level < len(TIME_HALVES):
                yield Downsample(width, TIME_HALVES[level])


class Decoder(Half):
    """Latents after ``conv2`` to frames of a video."""

    def __init__(self, dim: int, in_channels: int, num_res_blocks: int, colours: int = COLOURS) -> None:
        super().__init__()
        widths = [dim * multiple for multiple in (WIDTHS[-1], *reversed(WIDTHS))]
        self.conv1 = CausalConv3d(in_channels, widths[0], (3, 3, 3))
        self.middle = middle_blocks(widths[0])
        self.upsamples = nn.ModuleList(self.levels(widths, num_res_blocks + 1))
        self.head = Head(dim, colours)

    def levels(self, widths: Sequence[int], num_res_blocks: int) -> Iterator[nn.Module]:
        """The blocks up to full size; `widths` are those going in, and of each level."""
        for level, (before, width) in enumerate(pairwise(widths)):
            yield from residual_blocks(before // 2 if level else before, width, num_res_blocks)
            if level < len(TIME_HALVES):
                yield Upsample(width, TIME_HALVES[-1 - level])


def residual_blocks(in_channels: int, out_channels: int, count: int) -> list[nn.Module]:
    widths = [in_channels, *[out_channels] * count]
    return [ResidualBlock(*pair) for pair in pairwise(widths)]


def middle_blocks(width: int) -> nn.ModuleList:
    return nn.ModuleList([ResidualBlock(width, width), FrameAttention(width), ResidualBlock(width, width)])


class Head(nn.ModuleDict):
    """A norm and a convolution. The numbers are the layers' places in the published file."""

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__({"0": ChannelNorm(width), "2": CausalConv3d(width, out_channels, (3, 3, 3))})
        self.width = width

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        made: Tensor = self["2"](self["0"](frames, activate=True), history)
        return made


class _Way(NamedTuple):
    """To latents or back.

    Attributes:
        of_chunk: what is made of a chunk, channels last, with the history of those before it.
        size: of all that is made: channels, frames, height, width.
        frames: of each chunk but the first.
        given, made: pixels of a latent cell in what goes in and in what comes out.
    """

    of_chunk: Callable[[Tensor, FrameHistory | None], Tensor]
    size: tuple[int, int, int, int]
    frames: int
    given: int
    made: int


class WanVideoVAE(nn.Module, ToldByNames):
    """Encodes and decodes videos; ``dim`` is the width of the first level, ``z_dim`` the channels of a latent,
    ``image_channels`` those of a frame: 3, or 4 with transparency.

    Latents of 16 channels are normalised with the published mean and deviation, those of another number are not.
    Whatever the weights' type, latents and videos are float32.

    Attributes:
        over_tiles: given what computes some tiles, the others' places zero, and all tiles, makes the whole where they
            are shared; another function may be put in its place.
    """

    telling: ClassVar[tuple[str, ...]] = (
        "encoder.downsamples.0.residual.2.weight",
        "decoder.upsamples.0.residual.2.weight",
    )

    pixels: ClassVar[int] = PIXELS  # of a latent cell, on each axis
    patch: ClassVar[int] = 1  # pixels on each axis that are channels within the network
    statistics: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = (MEAN, DEVIATION)
    halves: ClassVar[tuple[type[Encoder], type[Decoder]]] = (Encoder, Decoder)

    def __init__(
        self,
        dim: int = 96,
        z_dim: int = 16,
        num_res_blocks: int = 2,
        image_channels: int = COLOURS,
        decoder_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        encoder, decoder = self.halves
        colours = image_channels * self.patch**2
        self.encoder = encoder(dim, 2 * z_dim, num_res_blocks, colours)
        self.conv1 = CausalConv3d(2 * z_dim, 2 * z_dim, 1)
        self.conv2 = CausalConv3d(z_dim, z_dim, 1)
        self.decoder = decoder(decoder_dim or dim, z_dim, num_res_blocks, colours)
        self.over_tiles: Callable[[Callable[[Sequence[Tile]], Tensor], list[Tile]], Tensor] = _computed

    @property
    def image_channels(self) -> int:
        """Of a frame."""
        return int(self.encoder.conv1.in_channels) // self.patch**2

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The arguments that make a model of these tensors' shapes."""
        return {
            "dim": shapes["encoder.conv1.weight"][0],
            "z_dim": shapes["conv2.weight"][0],
            "num_res_blocks": next(level for level in range(len(shapes)) if is_halving(level, shapes)),
        }

    def convolve_with(self, convolve: Convolve) -> None:
        """Makes all causal convolutions compute with ``convolve``, one of those in ``causal_conv3d``."""
        for module in self.modules():
            if isinstance(module, CausalConv3d):
                module.convolve = convolve

    def encode(
        self,
        video: Tensor,
        *,
        tiled: bool = False,
        tile_size: tuple[int, int] = (30, 52),
        tile_stride: tuple[int, int] = (15, 26),
        framewise: bool = False,
        progress: Progress = iter,
        room: int = 0,
        shared: bool = False,
    ) -> Tensor:
        """Latents (B, z_dim, (F-1)/4 + 1, h, w) of a video (B, 3, F, h * pixels, w * pixels) in [-1, 1], not sampled.

        Args:
            tiled: in overlapping tiles, blended linearly, for less memory. Sizes are (rows, columns) in latent cells.
            framewise: each frame as a video of its own; there are F latent frames then.
            progress: wraps the tiles as ``tqdm`` does; called only if ``tiled``.
            room: bytes of memory that tiles may take at once: as many as it has room for are encoded together, and
                one at a time where it has room for less.
            shared: by `over_tiles`, which all devices have to call alike.

        Raises:
            ValueError: the video is not (B, 3, 4n + 1, h * pixels, w * pixels), or tiles do not overlap.
        """
        check_video(video, framewise, self.pixels, self.image_channels)
        height, width = (length // self.pixels for length in video.shape[3:])
        tiles = tiles_over(height, width, tile_size, tile_stride) if tiled else [whole(height, width)]
        length = video.shape[2] if framewise else (video.shape[2] - 1) // FRAMES + 1
        mean, deviation = self._statistics(video.device)

        def encoded(chunk: Tensor, history: FrameHistory | None) -> Tensor:
            moments = self.conv1(self.encoder(chunk, history), None)
            return (moments[..., : self.z_dim].float() - mean) / deviation

        way = _Way(encoded, (self.z_dim, length, height, width), FRAMES, given=self.pixels, made=1)
        return self._by_tiles(way, video, tiles, framewise, progress if tiled else iter, room, shared)

    def decode(
        self,
        latents: Tensor,
        *,
        tiled: bool = False,
        tile_size: tuple[int, int] = (30, 52),
        tile_stride: tuple[int, int] = (15, 26),
        framewise: bool = False,
        progress: Progress = iter,
        room: int = 0,
        shared: bool = False,
    ) -> Tensor:
        """The video (B, 3, 4(T-1) + 1, h * pixels, w * pixels) in [-1, 1] of latents (B, z_dim, T, h, w).

        The arguments are those of ``encode``; ``framewise`` gives T frames.

        Raises:
            ValueError: the latents do not have five axes and z_dim channels, or tiles do not overlap.
        """
        check_latents(latents, self.z_dim)
        _, _, length, height, width = latents.shape
        tiles = tiles_over(height, width, tile_size, tile_stride, self.pixels) if tiled else [whole(height, width)]
        size = (length if framewise else (length - 1) * FRAMES + 1, height * self.pixels, width * self.pixels)
        mean, deviation = self._statistics(latents.device)

        def decoded(chunk: Tensor, history: FrameHistory | None) -> Tensor:
            return self.decoder(self.conv2(chunk.float() * deviation + mean, None), history).float()

        way = _Way(decoded, (self.image_channels, *size), 1, given=1, made=self.pixels)
        return self._by_tiles(way, latents, tiles, framewise, progress if tiled else iter, room, shared).clamp_(-1, 1)

    def _by_tiles(
        self,
        way: _Way,
        given: Tensor,
        tiles: list[Tile],
        framewise: bool,
        progress: Progress,
        room: int,
        shared: bool,
    ) -> Tensor:
        """All that is made of videos or latents (B, C, T, H, W), float32."""
        frames = len(given) * (1 if framewise or given.shape[2] == 1 else FRAMES)

        def computed(tiles: Sequence[Tile]) -> Tensor:
            made = torch.zeros(len(given), *way.size, device=given.device)
            for joined in self._batches(tiles, progress, frames, room):
                joined, first = [tile.to(given.device) for tile in joined], 0
                for chunk, history in chunks([tile.cut(given, way.given) for tile in joined], way.frames, framewise):
                    values = way.of_chunk(chunk, history).movedim(-1, 1)
                    add_to(joined, values, made[:, :, first : first + values.shape[2]], way.made)
                    first += values.shape[2]
            return made

        return (self.over_tiles if shared else _computed)(computed, tiles)

    def _batches(self, tiles: Sequence[Tile], progress: Progress, frames: int, room: int) -> Iterator[list[Tile]]:
        """The tiles in lists, each of what there is room to compute together, ``frames`` of each tile at a time."""
        widest = max(self.encoder.conv1.out_channels, self.decoder.head.width)
        width = widest * self.encoder.conv1.weight.dtype.itemsize

        def most(tile: Tile) -> int:
            rows, columns = tile.size
            return room // (PEAK_FRAMES * frames * rows * columns * (self.pixels // self.patch) ** 2 * width)

        joined = batches(tiles, most)
        shown = iter(progress([tile for batch in joined for tile in batch]))
        for batch in joined:
            yield [next(shown) for _ in batch]
        yield from ([tile] for tile in shown)  # none: but a progress bar is at its end only then

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents' channels."""
        mean, deviation = self.statistics
        if self.z_dim != len(mean):
            return torch.zeros(self.z_dim, device=device), torch.ones(self.z_dim, device=device)
        return torch.tensor(mean, device=device), torch.tensor(deviation, device=device)


def _computed(compute: Callable[[Sequence[Tile]], Tensor], tiles: list[Tile]) -> Tensor:
    return compute(tiles)


def add_to(tiles: Sequence[Tile], values: Tensor, frames: Tensor, scale: int = 1) -> None:
    """Adds the values of each tile, one batch after another, to these frames of the whole."""
    for tile, of_tile in zip(tiles, values.chunk(len(tiles)), strict=True):
        tile.add(of_tile, tile.cut(frames, scale))


def chunks(videos: Sequence[Tensor], size: int, framewise: bool) -> Iterator[tuple[Tensor, FrameHistory | None]]:
    """Of videos of one shape as one batch: a frame, then ``size`` at a time, channels last, with the history that
    goes with them.

    ``framewise``: one at a time, without a history.
    """
    length = videos[0].shape[2]
    history = None if framewise or length == 1 else FrameHistory()
    size = 1 if framewise else size
    for start, end in ((0, 1), *((start, start + size) for start in range(1, length, size))):
        parts = [video[:, :, start:end].movedim(1, -1) for video in videos]
        yield (parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)), history


def is_halving(place: int, keys: Iterable[str]) -> bool:
    return f"encoder.downsamples.{place}.resample.1.weight" in keys


def check_video(video: Tensor, framewise: bool, pixels: int = PIXELS, colours: int = COLOURS) -> None:
    fits = (
        video.dim() == 5 and video.shape[1] == colours and video.shape[3] % pixels == 0 and video.shape[4] % pixels == 0
    )
    if not fits or not (framewise or video.shape[2] % FRAMES == 1):
        raise ValueError(
            f"a video of shape {tuple(video.shape)} cannot be encoded: expected (batch, {colours}, frames, height, "
            f"width) with 4n + 1 frames and a height and width that are multiples of {pixels}; crop, resize or repeat "
            "frames first"
        )


def check_latents(latents: Tensor, z_dim: int) -> None:
    if latents.dim() != 5 or latents.shape[1] != z_dim:
        raise ValueError(
            f"latents of shape {tuple(latents.shape)} cannot be decoded: expected (batch, {z_dim}, frames, height, "
            "width), as encode() gives them"
        )
