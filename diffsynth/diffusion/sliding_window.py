"""Long videos through a network that sees a few frames at a time: overlapping windows, blended where they meet."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffsynth.core.caller import check_whole


def checked_window(size: int | None, stride: int | None) -> tuple[int, int] | None:
    """Both; None where neither is given.

    Raises:
        ValueError: only one of the two is given, one is no whole number, or the windows would leave gaps.
    """
    if size is None and stride is None:
        return None
    if size is None or stride is None:
        missing = "sliding_window_stride" if stride is None else "sliding_window_size"
        raise ValueError(f"{missing} is missing: sliding_window_size and sliding_window_stride go together")
    check_whole("sliding_window_size", size)
    check_whole("sliding_window_stride", stride)
    if stride > size:
        raise ValueError(
            f"sliding_window_stride={stride}: expected 1 to {size} latent frames (the sliding_window_size), "
            "so that the windows touch"
        )
    return size, stride


def predict_in_windows(predict: Callable[[Tensor, int], Tensor], latents: Tensor, *, size: int, stride: int) -> Tensor:
    """Runs `predict` on windows of `size` latent frames, `stride` apart, and blends them linearly.

    Args:
        predict: called with a window and the number of its first frame.
        latents: (B, C, T, H, W). With T at most `size` there is one window, and the result is `predict(latents, 0)`.

    Returns:
        float32, the shape of `latents`.
    """
    frames = latents.shape[2]
    if frames <= size:
        return predict(latents, 0).float()
    total = torch.zeros(latents.shape, dtype=torch.float32, device=latents.device)
    weights = torch.zeros((1, 1, frames, 1, 1), dtype=torch.float32, device=latents.device)
    for start in window_starts(frames, size, stride):
        window = slice(start, start + size)
        ramp = _ramp(size, size - stride, first=start == 0, last=start + size == frames)
        ramp = ramp.to(latents.device).view(1, 1, -1, 1, 1)
        total[:, :, window] += predict(latents[:, :, window], start).float() * ramp
        weights[:, :, window] += ramp
    return total / weights


def window_starts(frames: int, size: int, stride: int) -> list[int]:
    """First frame of each window; the last window ends with the last frame and is never shorter than the others."""
    starts = list(range(0, frames - size, stride))
    return [*starts, frames - size]


def _ramp(size: int, overlap: int, *, first: bool, last: bool) -> Tensor:
    """Weight of each frame of a window: rising over the overlap with its neighbours, 1 elsewhere."""
    weights = torch.ones(size)
    rise = (torch.arange(overlap) + 1) / (overlap + 1)
    if not first:
        weights[:overlap] = rise
    if not last:
        weights[size - overlap :] = torch.minimum(weights[size - overlap :], rise.flip(0))
    return weights
