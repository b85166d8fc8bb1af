"""Halves and doubles a stream of frames (batch, frames, height, width, channels) in space and in time.

In time the first frame of a stream stands for itself, and every later one for two: 1 + n frames are 1 + 2n a level up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.models.causal_conv3d import CausalConv3d, FrameHistory, each_frame
from diffsynth.models.containers import ModuleDict


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
