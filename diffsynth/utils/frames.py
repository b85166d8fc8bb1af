"""Pictures to tensors and back, and of the sizes that networks take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from os import PathLike
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def video_from_frames(
    frames: Sequence[Image.Image],
    *,
    height: int,
    width: int,
    num_frames: int,
    name: str = "input_video",
    mode: str = "RGB",
) -> Tensor:
    """A video tensor (1, 3, F, H, W), float32 in [-1, 1]; of 4 channels with the `mode` "RGBA".

    Args:
        name: of the keyword that the frames were given by, for an error.

    Raises:
        ValueError: the frames are no PIL images, or not as many, or not as large, as asked for.
    """
    check_frames(frames, num_frames, name)
    pictures = []
    for number, frame in enumerate(frames):
        _check_picture(f"frame {number} of {name}", frame, height, width)
        pictures.append(torch.from_numpy(np.array(frame.convert(mode))))
    return (torch.stack(pictures).permute(3, 0, 1, 2).unsqueeze(0).float() / 127.5) - 1


def check_frames(frames: object, num_frames: int, name: str) -> None:
    """Raises ValueError where these are no frames, or not as many as asked for; what they are, is not looked at."""
    if isinstance(frames, (str, PathLike)):
        raise ValueError(f"{name}={str(frames)!r} is a path: expected frames, which VideoData({str(frames)!r}) reads")
    if not isinstance(frames, Iterable) or not isinstance(frames, Sized):
        raise ValueError(f"{name} is a {type(frames).__name__}: expected frames, such as a list of PIL images")
    if len(frames) != num_frames:
        raise ValueError(
            f"{name} has {len(frames)} frames, but num_frames is {num_frames}: set one to match the other "
            "(VideoData.set_length cuts a video)"
        )


def first_frames(frames: Any, num_frames: int) -> Any:
    """So many of the frames, where there are more; anything else is left as it is."""
    longer = hasattr(frames, "__getitem__") and isinstance(frames, Sized) and not isinstance(frames, (str, PathLike))
    return [frames[index] for index in range(num_frames)] if longer and len(frames) > num_frames else frames


def check_picture(name: str, picture: object) -> None:
    """Raises ValueError where this is no picture."""
    if isinstance(picture, (str, PathLike)):
        raise ValueError(f"{name}={str(picture)!r} is a path: expected a picture, which PIL.Image.open reads")
    if not isinstance(picture, Image.Image):
        raise ValueError(f"{name} is a {type(picture).__name__}: expected a PIL image")


def video_from_picture(picture: Image.Image, *, height: int, width: int) -> Tensor:
    """The picture, resized, as a video of one frame: (1, 3, 1, H, W), float32 in [-1, 1]."""
    resized = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return video_from_frames([resized], height=height, width=width, num_frames=1)


def _check_picture(name: str, frame: object, height: int, width: int) -> None:
    if not isinstance(frame, Image.Image):
        raise ValueError(f"{name} is a {type(frame).__name__}: expected a PIL image")
    if frame.size != (width, height):
        raise ValueError(
            f"{name} is {frame.size[0]}x{frame.size[1]}, but the video asked for is "
            f"{width}x{height}: VideoData(..., height={height}, width={width}) crops and resizes"
        )


def frames_from_video(video: Tensor) -> list[Image.Image]:
    """Pictures of a video tensor (1, 3 or 4, F, H, W): ``(x + 1) * 127.5``, cut to 0..255, the fraction dropped."""
    pixels = ((video[0].float() + 1) * 127.5).clamp(0, 255).to("cpu", torch.uint8)
    return [Image.fromarray(picture.numpy()) for picture in pixels.permute(1, 2, 3, 0).contiguous()]


def of_area(picture: Image.Image, area: int, multiple: int = 32) -> Image.Image:
    """The picture resized to about `area` pixels in its own proportions, both sides multiples of `multiple`."""
    ratio = picture.width / picture.height
    width = max(1, round(math.sqrt(area * ratio) / multiple)) * multiple
    height = max(1, round(math.sqrt(area / ratio) / multiple)) * multiple
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def check_size(name: str, picture: object, height: int, width: int) -> None:
    """Raises ValueError unless the keyword of that name is a picture of that size."""
    if not isinstance(picture, Image.Image):
        raise ValueError(f"{name} is a {type(picture).__name__}: expected a PIL image")
    if picture.size != (width, height):
        raise ValueError(
            f"{name} is {picture.width}x{picture.height}, but the picture asked for is {width}x{height}: "
            f"PIL.ImageOps.fit({name}, ({width}, {height})) crops and resizes"
        )
