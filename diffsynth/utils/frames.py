"""Pictures to tensors and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from os import PathLike

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def video_from_frames(frames: Sequence[Image.Image], *, height: int, width: int, num_frames: int) -> Tensor:
    """A video tensor (1, 3, F, H, W), float32 in [-1, 1].

    Raises:
        ValueError: the frames are no PIL images, or not as many, or not as large, as asked for.
    """
    if isinstance(frames, (str, PathLike)):
        raise ValueError(
            f"input_video={str(frames)!r} is a path: expected frames, which VideoData({str(frames)!r}) reads"
        )
    if not isinstance(frames, Iterable) or not isinstance(frames, Sized):
        raise ValueError(f"input_video is a {type(frames).__name__}: expected frames, such as a list of PIL images")
    if len(frames) != num_frames:
        raise ValueError(
            f"input_video has {len(frames)} frames, but num_frames is {num_frames}: set one to match the other "
            "(VideoData.set_length cuts a video)"
        )
    pictures = []
    for number, frame in enumerate(frames):
        if not isinstance(frame, Image.Image):
            raise ValueError(f"frame {number} of input_video is a {type(frame).__name__}: expected a PIL image")
        if frame.size != (width, height):
            raise ValueError(
                f"frame {number} of input_video is {frame.size[0]}x{frame.size[1]}, but the video asked for is "
                f"{width}x{height}: VideoData(..., height={height}, width={width}) crops and resizes"
            )
        pictures.append(torch.from_numpy(np.array(frame.convert("RGB"))))
    return (torch.stack(pictures).permute(3, 0, 1, 2).unsqueeze(0).float() / 127.5) - 1


def frames_from_video(video: Tensor) -> list[Image.Image]:
    """Pictures of a video tensor (1, 3, F, H, W): ``(x + 1) * 127.5``, cut to 0..255, the fraction dropped."""
    pixels = ((video[0].float() + 1) * 127.5).clamp(0, 255).to("cpu", torch.uint8)
    return [Image.fromarray(picture.numpy()) for picture in pixels.permute(1, 2, 3, 0).contiguous()]
