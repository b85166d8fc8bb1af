"""How large and how many the frames of a sample become."""

from __future__ import annotations

import math
from dataclasses import dataclass

from diffsynth.core.data.errors import DatasetError


@dataclass(frozen=True)
class FrameSize:
    """The size that images and videos are cropped and resized to.

    Args:
        height, width: of every frame; both None keep each sample's own shape, made smaller where it has more than
            `max_pixels`, and cut to multiples of `multiple`.
        max_pixels: of a frame.
        num_frames: at most so many of a video, from its start.
        multiple: what height and width must be multiples of.
        frames_step: a video keeps ``k * frames_step + 1`` frames.

    Raises:
        DatasetError: a value is out of its range; the message names the flag.
    """

    height: int | None = None
    width: int | None = None
    max_pixels: float = 1024 * 1024
    num_frames: int = 81
    multiple: int = 1
    frames_step: int = 1

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise DatasetError(f"--height {self.height} and --width {self.width}: give both, or neither")
        for flag in ("height", "width"):
            value = getattr(self, flag)
            if value is not None and (value < 1 or value % self.multiple):
                raise DatasetError(f"--{flag} {value}: expected a multiple of {self.multiple}")
        if self.max_pixels < self.multiple**2:
            raise DatasetError(f"--max_pixels {self.max_pixels}: expected at least {self.multiple**2}")
        if self.num_frames < 1 or (self.num_frames - 1) % self.frames_step:
            raise DatasetError(f"--num_frames {self.num_frames}: expected a number of the form {self.frames_step}k + 1")

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width for frames that are stored at this size."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        scale = min(1.0, (self.max_pixels / (height * width)) ** 0.5)
        return self._down(height * scale), self._down(width * scale)

    def frames_of(self, length: int) -> int:
        """How many frames to keep of a video that has `length` of them, at least one."""
        return (min(length, self.num_frames) - 1) // self.frames_step * self.frames_step + 1

    def _down(self, side: float) -> int:
        return max(int(side) // self.multiple, 1) * self.multiple


AS_STORED = FrameSize(max_pixels=math.inf)
