"""What every generation is asked for: a size, and noise from a seed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

from diffsynth.core.device.npu_compatible_device import resolve_device
from diffsynth.core.values import check_whole

# From the warning up to the line that called the pipeline: the pipeline's own size function, its call, and what wraps
# that.
_TO_THE_CALLER = 6


def rounded_up(name: str, value: int, step: int, start: int = 0) -> int:
    """The next of ``start``, ``start + step`` and so on, with a warning where that is another number.

    Raises:
        ValueError: the value is no whole number, or below 1.
    """
    check_whole(name, value)
    fitting = -(-(int(value) - start) // step) * step + start
    if fitting != value:
        rule = f"{step}k + {start}" if start else f"a multiple of {step}"
        warnings.warn(f"{name}={value} is not {rule}: rounded up to {fitting}", stacklevel=_TO_THE_CALLER)
    return fitting


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
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, Integral)):
        raise ValueError(f"seed={seed!r}: expected a whole number, or None for another result each time")
    if seed is not None and not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed={seed}: expected a whole number of at most 64 bits")
    drawn_on = resolve_device(rand_device)
    generator = None if seed is None else torch.Generator(drawn_on).manual_seed(int(seed))
    return torch.randn(tuple(shape), generator=generator, device=drawn_on, dtype=dtype).float()
