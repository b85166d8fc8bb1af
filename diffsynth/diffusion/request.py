"""What every generation is asked for, a size and noise from a seed or latents; and a look at what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffsynth.core.caller import check_whole, is_whole, warn_caller
from diffsynth.core.device.npu_compatible_device import resolve_device

FRAMES_STEP = 4  # of a video: 4k + 1 frames


def rounded_up(name: str, value: int, step: int, start: int = 0) -> int:
    """The next of ``start``, ``start + step`` and so on, with a warning where that is another number.

    Raises:
        ValueError: the value is no whole number, or below 1.
    """
    check_whole(name, value)
    fitting = -(-(int(value) - start) // step) * step + start
    if fitting != value:
        rule = f"{step}k + {start}" if start else f"a multiple of {step}"
        warn_caller(f"{name}={value} is not {rule}: rounded up to {fitting}")
    return fitting


def fitting_size(height: int, width: int, num_frames: int = 1, multiple: int = 16) -> tuple[int, int, int]:
    """The size rounded up to what the networks take, pixels to a multiple and frames to 4k + 1, with a warning where it
    changes.

    Raises:
        ValueError: a value is not a whole number above 0.
    """
    height, width = (rounded_up(name, pixels, multiple) for name, pixels in (("height", height), ("width", width)))
    return height, width, rounded_up("num_frames", num_frames, FRAMES_STEP, start=1)


def drawn_noise(
    shape: Sequence[int],
    seed: int | None,
    rand_device: str | torch.device,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normal noise, drawn on `rand_device` in `dtype` and still there, float32.

    Raises:
        ValueError: the seed is no whole number, or one of more than 64 bits.
        UnknownDeviceError: this machine has no such device.
    """
    if seed is not None:
        _check_seed(seed)
    drawn_on = resolve_device(rand_device)
    generator = None if seed is None else torch.Generator(drawn_on).manual_seed(int(seed))
    return torch.randn(tuple(shape), generator=generator, device=drawn_on, dtype=dtype).float()


def seeds_of(seed: int | Sequence[int] | None, count: int) -> list[int | None]:
    """The seed of each of `count` results: a list as it is, one number and those after it, or None for each.

    Raises:
        ValueError: a list of another length.
    """
    if seed is None:
        return [None] * count
    if isinstance(seed, Sequence) and not isinstance(seed, (str, bytes)):
        if len(seed) != count:
            raise ValueError(f"seed has {len(seed)} numbers, and there are {count} results: expected one for each")
        return list(seed)
    _check_seed(seed)
    return [int(seed) + number for number in range(count)]


def _check_seed(seed: object) -> None:
    if not is_whole(seed):
        raise ValueError(f"seed={seed!r}: expected a whole number, or None for another result each time")
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed={seed}: expected a whole number of at most 64 bits")


def checked_latents(latents: Tensor, shape: Sequence[int]) -> Tensor:
    """A copy of the latents that a caller gives, float32.

    Raises:
        ValueError: they are no tensor, or not of that shape.
    """
    if not isinstance(latents, Tensor):
        raise ValueError(f"latents is a {type(latents).__name__}: expected a tensor of shape {tuple(shape)}")
    if tuple(latents.shape) != tuple(shape):
        raise ValueError(
            f"latents is of shape {tuple(latents.shape)}: expected {tuple(shape)}, which is results, channels and the "
            "size asked for, an eighth of the pixels on each side"
        )
    return latents.to(dtype=torch.float32, copy=True)


class NotFiniteWarning(RuntimeWarning):
    """A generation has come to NaN or infinity: what it shows is black or noise."""


def warn_unless_finite(latents: Tensor) -> None:
    """Warns where latents hold NaN or infinity."""
    finite = latents.isfinite()
    if not bool(finite.all()):
        bad = finite.numel() - int(finite.sum())
        warn_caller(
            f"{bad} of {finite.numel()} latents are NaN or infinite, and what is decoded from them is no picture: "
            "compute in torch.bfloat16 or torch.float32, and look at the weights and LoRAs that were loaded",
            NotFiniteWarning,
        )
