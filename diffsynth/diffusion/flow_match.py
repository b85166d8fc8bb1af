"""Flow matching: the noise levels of a generation or of training, and the Euler step between two of them.

A sample at noise level sigma is ``(1 - sigma) * clean + sigma * noise``; the network predicts the velocity
``noise - clean`` and takes the timestep ``1000 * sigma`` (Lipman et al., "Flow Matching for Generative Modeling").
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from diffsynth.core.caller import check_number, check_whole

TRAINING_STEPS = 1000

NoiseLevels = Callable[..., Tensor]
"""What lays a run's noise levels out: (number of steps, start=..., and what this kind of them takes) -> sigmas,
float32, falling; the final 0 is not part of them. It checks what it is given."""

Scheduler = TypeVar("Scheduler", bound="FlowMatchScheduler")


def shifted_sigmas(num_steps: int, *, shift: float, start: float = 1.0) -> Tensor:
    """Noise levels from `start` down towards 0, spaced so that `shift` > 1 spends more steps where noise is strong.

    Evenly spaced u in (0, start] become ``shift * u / (1 + (shift - 1) * u)`` (Esser et al., "Scaling Rectified Flow
    Transformers", 2024, eq. 23).

    Returns:
        float32 of shape (num_steps,), falling; the final 0 is not part of it.
    """
    even = torch.linspace(start, 0.0, num_steps + 1, dtype=torch.float64)[:-1]
    return (shift * even / (1 + (shift - 1) * even)).float()


def wan_levels(num_steps: int, *, start: float = 1.0, shift: float = 5.0) -> Tensor:
    """Wan's noise levels: `shifted_sigmas`; raises ValueError where `shift` is no number above 0."""
    check_number("sigma_shift", shift, above=0)
    return shifted_sigmas(num_steps, shift=shift, start=start)


def z_image_levels(num_steps: int, *, start: float = 1.0, shift: float | None = None) -> Tensor:
    """Z-Image's noise levels: as Wan's, by 3 unless told."""
    return wan_levels(num_steps, start=start, shift=3.0 if shift is None else shift)


class FlowMatchScheduler:
    """The schedule of one run: `sigmas` and `timesteps`, both float32 on the CPU whatever the compute type; and Euler's
    step from one to the next.

    In bfloat16 a timestep of 833.33 becomes 832, and of 100 steps only 89 stay apart.

    Args:
        config: the noise levels, which a model was trained for; by default Wan's.
    """

    def __init__(self, config: NoiseLevels = wan_levels) -> None:
        self.config = config
        self.sigmas = torch.empty(0)
        self.timesteps = torch.empty(0)

    @classmethod
    def from_config(cls: type[Scheduler], config: NoiseLevels, **settings: Any) -> Scheduler:
        """A scheduler of this kind on the noise levels of another: ``Kind.from_config(pipe.scheduler.config)``.

        Args:
            settings: of the kind. What shifts the noise levels is a keyword of the pipeline's call.

        Raises:
            TypeError: the kind has no such setting.
        """
        known = [name for name in inspect.signature(cls).parameters if name != "config"]
        for name in settings:
            if name not in known:
                raise TypeError(
                    f"{cls.__name__} has no setting {name!r}: it has {', '.join(known) or 'none'}; what shifts the "
                    "noise levels is a keyword of the call, sigma_shift or exponential_shift_mu"
                )
        return cls(config=config, **settings)

    def set_timesteps(self, num_inference_steps: int, *, denoising_strength: float = 1.0, **settings: Any) -> None:
        """Lays out the steps of a generation.

        Args:
            num_inference_steps: number of network evaluations (per guidance branch), at least 1.
            denoising_strength: in (0, 1]; the part of the way from noise to clean that is walked. Below 1 the run
                starts from a noised input video.
            settings: what the noise levels take: of Wan's `shift`, the timestep shift, 5.0.

        Raises:
            ValueError: a value is out of its range.
        """
        check_whole("num_inference_steps", num_inference_steps)
        check_number("denoising_strength", denoising_strength, above=0, most=1)
        self._lay_out(self.config(int(num_inference_steps), start=denoising_strength, **settings))

    def _lay_out(self, sigmas: Tensor) -> None:
        self.sigmas = sigmas
        self.timesteps = sigmas * TRAINING_STEPS

    def step(self, velocity: Tensor, index: int, latents: Tensor) -> Tensor:
        """Moves `latents` from noise level `index` to the next one (0 after the last); float32 in, float32 out."""
        following = self.sigmas[index + 1].item() if index + 1 < len(self.sigmas) else 0.0
        return latents.float() + velocity.float() * (following - self.sigmas[index].item())

    def add_noise(self, clean: Tensor, noise: Tensor, index: int) -> Tensor:
        """The clean latents as they are at noise level `index`."""
        sigma = self.sigmas[index].item()
        return torch.lerp(clean.float(), noise.float(), sigma)

    def set_training_timesteps(self, **settings: Any) -> None:
        """Lays out the 1000 noise levels that training draws from."""
        self.set_timesteps(TRAINING_STEPS, **settings)

    def training_weights(self) -> Tensor:
        """The loss weight of each level: a bell around timestep 500, zero at its lowest, mean 1; float32."""
        bell = torch.exp(-2 * ((self.timesteps.double() - TRAINING_STEPS / 2) / TRAINING_STEPS) ** 2)
        lifted = bell - bell.min()
        return (lifted / lifted.mean()).float()


FlowMatchEulerDiscreteScheduler = FlowMatchScheduler  # as diffusers calls it


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
