"""Noise levels that gather where noise is strong the more, the larger the picture is: Qwen-Image's schedule."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffsynth.core.values import check_number
from diffsynth.diffusion.flow_match import FlowMatchScheduler, check_run

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


class DynamicShiftScheduler(FlowMatchScheduler):
    """The schedule of one run whose shift depends on the size of the picture."""

    def set_timesteps(  # type: ignore[override]
        self,
        num_inference_steps: int,
        *,
        denoising_strength: float = 1.0,
        dynamic_shift_len: int | None = None,
        exponential_shift_mu: float | None = None,
    ) -> None:
        """Lays out the steps of a generation.

        Args:
            num_inference_steps: number of network evaluations (per guidance branch), at least 1.
            denoising_strength: in (0, 1]; the part of the way from noise to clean that is walked.
            dynamic_shift_len: tokens of the picture, which the shift follows from.
            exponential_shift_mu: the shift itself, instead. With neither it is 0.8, as in training.

        Raises:
            ValueError: a value is out of its range.
        """
        check_run(num_inference_steps, denoising_strength)
        if exponential_shift_mu is None:
            exponential_shift_mu = TRAINING_MU if dynamic_shift_len is None else shift_of(dynamic_shift_len)
        check_number("exponential_shift_mu", exponential_shift_mu, above=-20, most=20)
        self._lay_out(
            exponentially_shifted_sigmas(int(num_inference_steps), mu=exponential_shift_mu, start=denoising_strength)
        )

    def set_training_timesteps(self) -> None:  # type: ignore[override]
        """Lays out the 1000 noise levels that training draws from."""
        self.set_timesteps(1000)
