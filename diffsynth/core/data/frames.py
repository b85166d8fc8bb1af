"""The frames of an image or a video file: how large and how many they become, and reading them so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, ImageSequence

from diffsynth.core.data import DatasetError
from diffsynth.utils.data.video_file import VideoFile


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
        mode: "RGB", or "RGBA" to keep the transparency of pictures.

    Raises:
        DatasetError: a value is out of its range; the message names the flag.
    """

    height: int | None = None
    width: int | None = None
    max_pixels: float = 1024 * 1024
    num_frames: int = 81
    multiple: int = 1
    frames_step: int = 1
    mode: str = "RGB"

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


IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
VIDEOS = {".mp4", ".avi", ".mov", ".wmv", ".mkv", ".flv", ".webm"}
ANIMATIONS = {".gif"}


def read_frames(path: Path, size: FrameSize) -> list[Image.Image]:
    """Frames of one size: one of an image, the first `size.num_frames` of a video, fewer of a shorter one.

    Sound is never looked at.

    Raises:
        OSError, ValueError: the file is not there, of an unknown kind, or cannot be read.
    """
    kind = path.suffix.lower()
    if kind not in IMAGES | VIDEOS | ANIMATIONS:
        known = ", ".join(sorted(IMAGES | VIDEOS | ANIMATIONS))
        raise ValueError(f"{path}: the ending {path.suffix!r} is no image or video that is read here ({known})")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if kind in VIDEOS:
        frames = _first_frames(VideoFile(path), size.num_frames)
    else:
        with Image.open(path) as image:
            several = ImageSequence.Iterator(image) if kind in ANIMATIONS else [image]
            frames = [frame.convert(size.mode) for _, frame in zip(range(size.num_frames), several, strict=False)]
    height, width = size.of(frames[0].height, frames[0].width)
    kept = frames[: size.frames_of(len(frames))]
    return [ImageOps.fit(frame, (width, height), method=Image.Resampling.BICUBIC) for frame in kept]


def _first_frames(video: VideoFile, count: int) -> list[Image.Image]:
    """Decoded up to there only: to ask a video for its length is to decode all of it."""
    frames = [video[0]]
    while len(frames) < count:
        try:
            frames.append(video[len(frames)])
        except ValueError:  # the end
            break
    return frames
