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
        check_size(f"frame {number} of {name}", frame, height, width, of_video=True)
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


def check_picture(name: str, picture: object) -> Image.Image:
    """The picture; raises ValueError where it is none."""
    if isinstance(picture, (str, PathLike)):
        raise ValueError(f"{name}={str(picture)!r} is a path: expected a picture, which PIL.Image.open reads")
    if not isinstance(picture, Image.Image):
        raise ValueError(f"{name} is a {type(picture).__name__}: expected a PIL image")
    return picture


def video_from_picture(picture: Image.Image, *, height: int, width: int) -> Tensor:
    """The picture, resized, as a video of one frame: (1, 3, 1, H, W), float32 in [-1, 1]."""
    resized = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return video_from_frames([resized], height=height, width=width, num_frames=1)


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


def check_size(name: str, picture: object, height: int, width: int, *, of_video: bool = False) -> None:
    """Raises ValueError unless what is called so is a picture of that size, or a frame of a video of that size."""
    size = check_picture(name, picture).size
    if size != (width, height):
        asked, advice = "picture", f"PIL.ImageOps.fit({name}, ({width}, {height}))"
        if of_video:
            asked, advice = "video", f"VideoData(..., height={height}, width={width})"
        raise ValueError(
            f"{name} is {size[0]}x{size[1]}, but the {asked} asked for is {width}x{height}: {advice} crops and resizes"
        )
