"""What training minimises. All draws come from a generator of the caller's on the CPU: the same on every device."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.training.errors import TrainingError

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(latents (B, C, ...), timesteps (B,)), both float32 -> the network's velocity, of the shape of the latents."""


class FlowMatchLoss:
    """How far the network is from the velocity ``noise - clean`` at random noise levels (task sft).

    A level is drawn evenly from those of the schedule, counted from pure noise. The squared error is weighted by
    `FlowMatchScheduler.training_weights`, a bell around the middle.

    Args:
        schedule: laid out by `set_training_timesteps`: 1000 levels.
        min_boundary, max_boundary: the part of the schedule to draw from, in [0, 1]. An A14B expert learns its own
            side of 0.417: high noise below, low noise above.

    Raises:
        TrainingError: the boundaries leave no level.
    """

    def __init__(self, schedule: FlowMatchScheduler, min_boundary: float = 0.0, max_boundary: float = 1.0) -> None:
        levels = len(schedule.sigmas)
        self.first, self.end = int(min_boundary * levels), int(max_boundary * levels)
        if not 0 <= self.first < self.end <= levels:
            raise TrainingError(
                f"--min_timestep_boundary {min_boundary} and --max_timestep_boundary {max_boundary}: expected two "
                "numbers between 0 and 1, the first below the second"
            )
        self.sigmas, self.timesteps, self.weights = schedule.sigmas, schedule.timesteps, schedule.training_weights()

    def __call__(self, velocity: Velocity, clean: Tensor, generator: Generator, kept: Tensor | None = None) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            clean: latents (B, C, ...), float32.
            generator: on the CPU.
            kept: 1 where the latents are given to the network clean, (B, 1, ...): there is nothing to learn there.
        """
        level = torch.randint(self.first, self.end, (clean.shape[0],), generator=generator)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        sigma = self.sigmas[level].to(clean.device).view(-1, *[1] * (clean.ndim - 1))
        predicted = velocity(torch.lerp(clean, noise, sigma), self.timesteps[level].to(clean.device))
        errors = F.mse_loss(predicted.float(), noise - clean, reduction="none")
        error = errors.flatten(1).mean(1) if kept is None else _mean_of_others(errors, kept)
        return (error * self.weights[level].to(clean.device)).mean()


def _mean_of_others(errors: Tensor, kept: Tensor) -> Tensor:
    """Of each sample, (B,), over what is not kept."""
    others = (1 - kept.to(errors)).expand_as(errors).flatten(1)
    return (errors.flatten(1) * others).sum(1) / others.sum(1)


def rollout_loss(velocity: Velocity, clean: Tensor, noise: Tensor, schedule: FlowMatchScheduler) -> Tensor:
    """How far a whole generation ends from `clean`: the mean squared error of the final latents (task direct_distill).

    Args:
        clean: the latents that a teacher made from `noise`, both (B, C, ...), float32.
        schedule: laid out for the steps of the generation; gradients go through all of them.
    """
    latents = noise
    for index, timestep in enumerate(schedule.timesteps):
        predicted = velocity(latents, timestep.to(latents.device).expand(latents.shape[0]))
        latents = schedule.step(predicted, index, latents)
    return F.mse_loss(latents, clean)
