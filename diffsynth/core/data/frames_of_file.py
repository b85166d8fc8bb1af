"""The frames of an image or a video file, cropped around their centre and resized."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps, ImageSequence

from diffsynth.core.data.frame_size import FrameSize
from diffsynth.utils.data.video_file import VideoFile

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
VIDEOS = {".mp4", ".avi", ".mov", ".wmv", ".mkv", ".flv", ".webm"}
ANIMATIONS = {".gif"}


def read_frames(path: Path, size: FrameSize) -> list[Image.Image]:
    """RGB frames of one size: one of an image, the first `size.num_frames` of a video, fewer of a shorter one.

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
            frames = [frame.convert("RGB") for _, frame in zip(range(size.num_frames), several, strict=False)]
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
