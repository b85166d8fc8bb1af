"""Noise levels that gather where noise is strong the more, the larger the picture is: Qwen-Image's schedule."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffsynth.core.values import check_number
from diffsynth.diffusion.flow_match import FlowMatchScheduler, NoiseLevels

# Qwen-Image's own scheduler configuration: the shift grows linearly from (tokens, mu) to (tokens, mu).
SMALL, LARGE = (256, 0.5), (8192, 0.9)
LAST_SIGMA = 0.02
TRAINING_MU = 0.8


def shift_of(tokens: int) -> float:
    """The exponential shift mu for a picture of so many tokens, one for each 16x16 pixels."""
    (fewest, least), (most, largest) = SMALL, LARGE
    return least + (largest - least) * (tokens - fewest) / (most - fewest)


def exponentially_shifted_sigmas(num_steps: int, *, mu: float, start: float = 1.0) -> Tensor:
    """Noise levels from `start`, shifted, down to 0.02.

    Evenly spaced u in (0, start] become ``e^mu / (e^mu + 1/u - 1)`` and are then stretched away from 1 so that the last
    is 0.02. A single step from pure noise stays where it is.

    Returns:
        float32 of shape (num_steps,), falling; the final 0 is not part of it.
    """
    even = torch.linspace(start, 0.0, num_steps + 1, dtype=torch.float64)[:-1]
    shifted = math.exp(mu) / (math.exp(mu) + 1 / even - 1)
    if shifted[-1] < 1:
        shifted = 1 - (1 - shifted) * (1 - LAST_SIGMA) / (1 - shifted[-1])
    return shifted.float()


def qwen_image_levels(
    num_steps: int,
    *,
    start: float = 1.0,
    dynamic_shift_len: int | None = None,
    exponential_shift_mu: float | None = None,
) -> Tensor:
    """Qwen-Image's noise levels: `exponentially_shifted_sigmas`.

    Args:
        num_steps, start: as there.
        dynamic_shift_len: tokens of the picture, which the shift follows from.
        exponential_shift_mu: the shift itself, instead. With neither it is 0.8, as in training.

    Raises:
        ValueError: the shift is out of its range.
    """
    if exponential_shift_mu is None:
        exponential_shift_mu = TRAINING_MU if dynamic_shift_len is None else shift_of(dynamic_shift_len)
    check_number("exponential_shift_mu", exponential_shift_mu, above=-20, most=20)
    return exponentially_shifted_sigmas(num_steps, mu=exponential_shift_mu, start=start)


class DynamicShiftScheduler(FlowMatchScheduler):
    """The schedule of one run whose shift depends on the size of the picture; `set_timesteps` takes what
    `qwen_image_levels` does."""

    def __init__(self, config: NoiseLevels = qwen_image_levels) -> None:
        super().__init__(config)
