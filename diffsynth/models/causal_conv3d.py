"""What the video VAEs are made of: convolutions over space and past frames, and halving and doubling of both.

A stream of frames is given in chunks. Frames are (batch, frames, height, width, channels), channels last in memory:
norms, attention and 2D convolutions all take them without a copy. In time the first frame of a stream stands for
itself, and every later one for two: 1 + n frames are 1 + 2n a level up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.models.layers import ModuleDict

Convolve = Callable[[Tensor, int, Tensor, "Tensor | None"], Tensor]


@dataclass(eq=False)
class FrameHistory:
    """What the causal layers keep of one stream between two chunks: the last frames each has seen."""

    _last: dict[nn.Module, Tensor] = field(default_factory=dict)
    _started: set[nn.Module] = field(default_factory=set)

    def extend(self, layer: nn.Module, frames: Tensor, keep: int) -> Tensor:
        """``frames`` with those kept for ``layer`` in front; the last ``keep`` of them are kept for the next chunk."""
        earlier = self._last.get(layer)
        joined = frames if earlier is None else torch.cat([earlier, frames], dim=1)
        # A copy, since a view would hold the memory of the whole chunk.
        self._last[layer] = joined[:, -keep:].clone() if joined.shape[1] > keep else joined
        return joined

    def starts(self, layer: nn.Module) -> bool:
        """Whether ``layer`` asks for the first time, that is, whether its stream starts with this chunk."""
        first = layer not in self._started
        self._started.add(layer)
        return first


def summed_conv2d(frames: Tensor, count: int, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The last ``count`` frames, convolved: one 2D convolution for each step back in time, summed.

    Frames before the first are zeros in a causal convolution; they are left out rather than multiplied.
    """
    earlier = frames.shape[1] - count
    taps = [tap.contiguous(memory_format=torch.channels_last) for tap in weight.unbind(dim=2)]
    convolved = conv2d_of_frames(frames[:, earlier:], taps[-1], bias)
    for back in range(1, len(taps)):
        without = max(0, back - earlier)  # output frames for which the frame ``back`` steps ago does not exist
        if without < count:
            source = frames[:, earlier + without - back : earlier + count - back]
            convolved[:, without:] += conv2d_of_frames(source, taps[-1 - back])
    return convolved


def paired_conv2d(frames: Tensor, count: int, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same in four 2D convolutions for two frames instead of six: Winograd's minimal filtering F(2, 3), over time.

    It convolves sums of frames with sums of weights. That is as exact in float32, not in a type that rounds more, so
    others, and chunks that are not made of pairs, are given to ``summed_conv2d``.
    """
    missing = weight.shape[2] - 1 - (frames.shape[1] - count)
    in_pairs = weight.shape[2:4] == (3, 3) and count % 2 == 0 and missing < 2
    if not in_pairs or frames.dtype != torch.float32:
        return summed_conv2d(frames, count, weight, bias)
    if missing:
        frames = F.pad(frames, (0, 0, 0, 0, 0, 0, missing, 0))
    first, second, third, fourth = frames[:, :-3:2], frames[:, 1:-2:2], frames[:, 2:-1:2], frames[:, 3::2]
    oldest, middle, newest = (tap.contiguous(memory_format=torch.channels_last) for tap in weight.unbind(dim=2))
    outer, middle = (oldest + newest) / 2, middle / 2
    in_both = conv2d_of_frames(second + third, outer + middle, bias)
    opposed = conv2d_of_frames(third - second, outer - middle)
    even = conv2d_of_frames(first - third, oldest).add_(in_both).add_(opposed)
    odd = in_both.sub_(opposed).sub_(conv2d_of_frames(second - fourth, newest))
    return torch.stack([even, odd], dim=2).flatten(1, 2)


def conv3d(frames: Tensor, count: int, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same as ``summed_conv2d`` in one kernel, which rounds once."""
    missing = weight.shape[2] - 1 - (frames.shape[1] - count)
    frames = F.pad(frames, (0, 0, 0, 0, 0, 0, missing, 0))  # a negative number drops frames that no tap reaches
    spatial = (weight.shape[3] // 2, weight.shape[4] // 2)
    convolved = F.conv3d(frames.movedim(-1, 1), weight, bias, padding=(0, *spatial))
    return convolved.movedim(1, -1).contiguous()


def conv2d_of_frames(frames: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Each frame convolved alone, zeros around it, so that its size stays."""
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    return each_frame(lambda images: F.conv2d(images, weight, bias, padding=padding), frames)


def each_frame(function: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Applies to every frame what takes images (count, channels, height, width)."""
    images = function(frames.flatten(0, 1).permute(0, 3, 1, 2))
    return torch.unflatten(images.permute(0, 2, 3, 1).contiguous(), 0, frames.shape[:2])


class CausalConv3d(nn.Conv3d):
    """Convolves each frame with its surroundings and with the frames before it, never with a later one.

    ``convolve`` is how; it may be set on a module. Frames of any type are taken, and computed in the weights' type.
    """

    convolve: Convolve

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int, int]) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.convolve = paired_conv2d

    # With a Conv3d it shares the weights, not the call.
    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:  # type: ignore[override]
        frames = frames.to(self.weight.dtype)
        count = frames.shape[1]
        steps_back = self.kernel_size[0] - 1
        if history is not None and steps_back:
            frames = history.extend(self, frames, steps_back)
        return self.convolve(frames, count, self.weight, self.bias)


class HalvingConv2d(nn.Conv2d):
    """Every second pixel of a 3x3 convolution, with a row and a column of zeros below and on the right."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=3, stride=2)

    def forward(self, frames: Tensor) -> Tensor:
        return each_frame(super().forward, F.pad(frames, (0, 0, 0, 1, 0, 1)))


class DoublingConv2d(nn.Conv2d):
    """A 3x3 convolution of the image doubled by repeating its pixels, never making that image.

    Of the nine pixels that a 3x3 kernel sees there, at most four differ. So it is a transposed convolution of stride 2
    with a 4x4 kernel of sums of the 3x3 kernel's weights, in less than half the multiplications.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        kernel = summed_over_repeats(summed_over_repeats(self.weight, dim=2), dim=3).transpose(0, 1)
        return each_frame(lambda images: F.conv_transpose2d(images, kernel, self.bias, stride=2, padding=1), frames)


def summed_over_repeats(weight: Tensor, dim: int) -> Tensor:
    """The 4 weights of a stride-2 transposed convolution that does what the 3 of ``dim`` do after a repeat of 2."""
    before, centre, after = weight.unbind(dim)
    return torch.stack([after, centre + after, before + centre, before], dim)


class HalvingTimeConv(nn.Conv3d):
    """A frame for each two: those two and the frame before them, convolved. The first of a stream stays as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=(3, 1, 1), stride=(2, 1, 1))

    # With a Conv3d it shares the weights, not the call.
    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:  # type: ignore[override]
        joined = frames if history is None else history.extend(self, frames, keep=1)
        if joined.shape[1] == 1:
            return frames
        windows = torch.cat([joined[:, :-2:2], joined[:, 1:-1:2], joined[:, 2::2]], dim=-1)
        halved = F.linear(windows, self.weight.permute(0, 2, 1, 3, 4).flatten(1), self.bias)
        starts = joined.shape[1] == frames.shape[1]
        return torch.cat([frames[:, :1], halved], dim=1) if starts else halved


class Downsample(nn.Module):
    """Half the height and width, and half the frames if ``time``. Keys: ``resample.1``, ``time_conv``."""

    def __init__(self, channels: int, time: bool) -> None:
        super().__init__()
        self.resample = ModuleDict({"1": HalvingConv2d(channels)})
        self.time_conv = HalvingTimeConv(channels) if time else None

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        frames = self.resample["1"](frames)
        return frames if self.time_conv is None else self.time_conv(frames, history)


class Upsample(nn.Module):
    """Twice the height and width, and twice the frames if ``time``; half the channels unless told otherwise."""

    def __init__(self, channels: int, time: bool, out_channels: int | None = None) -> None:
        super().__init__()
        self.resample = ModuleDict({"1": DoublingConv2d(channels, out_channels or channels // 2)})
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1)) if time else None

    def forward(self, frames: Tensor, history: FrameHistory | None) -> Tensor:
        if self.time_conv is not None:
            frames = self._double_time(frames, history, self.time_conv)
        return self.resample["1"](frames)

    def _double_time(self, frames: Tensor, history: FrameHistory | None, convolve: CausalConv3d) -> Tensor:
        """Two frames for each, but one for the first of a stream, which the later ones do not see either."""
        starts = history is None or history.starts(self)
        later = frames[:, 1:] if starts else frames
        if later.shape[1] == 0:
            return frames
        pairs = torch.unflatten(convolve(later, history), -1, (2, -1))
        doubled = pairs.movedim(-2, 2).flatten(1, 2)
        return torch.cat([frames[:, :1], doubled], dim=1) if starts else doubled
