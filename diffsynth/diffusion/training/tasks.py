"""The tasks of training: what each encodes of a sample, and what it minimises. Whose network it is, an adapter says.

All draws come from a generator of the caller's on the CPU: the same on every device.
"""

from __future__ import annotations

import argparse
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from diffsynth.core.data.media_dataset import PLACE
from diffsynth.core.loader.detection import load_object
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import POSITIVE, guided
from diffsynth.diffusion.training.adapter import TrainingAdapter
from diffsynth.diffusion.training.arguments import names, trained_name
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.runner import Inputs, Sample

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(latents (B, C, ...), timesteps (B,)), both float32 -> the network's velocity, of the shape of the latents."""

KEPT = "kept"
"""Of a sample's tensors: 1 where its latents are given to the network clean, (1, 1, ...)."""


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


class Task(ABC):
    """What both tasks share: the objective of a run whose network the family's adapter calls."""

    columns: tuple[str, ...] = ()
    """Columns of the metadata that --extra_inputs may name besides the model's."""

    def __init__(self, model: TrainingAdapter[Any], args: argparse.Namespace) -> None:
        self.model, self.args = model, args
        for name in names(args.extra_inputs):
            if name not in (*model.extra_inputs, *self.columns):
                known = ", ".join((*model.extra_inputs, *self.columns)) or "none"
                raise TrainingError(f"--extra_inputs {name}: --task {args.task} of this model takes {known}")
        schedule = FlowMatchScheduler(load_object(model.pipe.family.levels))
        schedule.set_training_timesteps()
        part = (getattr(args, f"{end}_timestep_boundary", whole) for end, whole in (("min", 0.0), ("max", 1.0)))
        self.flow_match_loss = FlowMatchLoss(schedule, *part)

    def encode(self, sample: Sample) -> Inputs:
        """What `loss` needs of a sample."""
        return self.model.encode(sample)

    @abstractmethod
    def loss(self, network: nn.Module, inputs: Inputs, generator: Generator) -> Tensor:
        """See `Objective.loss`."""

    def render(self, network: nn.Module, path: Path | None) -> None:
        """Generates through the engine's wrapper of the network, which knows where the weights are."""
        pipe, name = self.model.pipe, trained_name(self.args)
        trained = pipe.networks[name]
        network.eval()
        try:
            pipe.adopt(name, dataclasses.replace(trained, module=network))
            self.model.render(path)
        finally:
            pipe.adopt(name, trained)
            network.train()


class SupervisedFineTuning(Task):
    """Task sft: predict the velocity at random noise levels."""

    def loss(self, network: nn.Module, inputs: Inputs, generator: Generator) -> Tensor:
        def velocity(latents: Tensor, timestep: Tensor) -> Tensor:
            return self.model.velocity(network, latents, timestep, inputs, POSITIVE)

        return self.flow_match_loss(velocity, inputs["latents"], generator, inputs.get(KEPT))


class Distillation(Task):
    """Task direct_distill: walk from the noise that a row's media was made from, and end where that is.

    The metadata has a column seed, and may have rand_device, num_inference_steps and cfg_scale: what the network is to
    be called with (the teacher took more steps).
    """

    columns = ("seed", "rand_device", "num_inference_steps", "cfg_scale")

    def encode(self, sample: Sample) -> Inputs:
        seed, steps = _number(sample, "seed", int), _number(sample, "num_inference_steps", int, default=4)
        scale = _number(sample, "cfg_scale", float, default=1.0)
        inputs = self.model.encode(sample, cfg_scale=scale)
        if KEPT in inputs:
            raise TrainingError("direct_distill: this model keeps a first frame as it is; train it by --task sft")
        return {
            **inputs,
            "noise": self.model.noise(seed, sample.get("rand_device", "cpu"), inputs["latents"]),
            "num_inference_steps": torch.tensor([steps]),
            "cfg_scale": torch.tensor([scale]),
        }

    def loss(self, network: nn.Module, inputs: Inputs, generator: Generator) -> Tensor:
        steps, scales = (sorted(set(inputs[name].tolist())) for name in ("num_inference_steps", "cfg_scale"))
        if len(steps) > 1 or len(scales) > 1:
            raise TrainingError("--batch_size: rows of different num_inference_steps or cfg_scale; give --batch_size 1")

        def velocity(latents: Tensor, timestep: Tensor) -> Tensor:
            def predict(latents: Tensor, branch: str) -> Tensor:
                return self.model.velocity(network, latents, timestep, inputs, branch)

            return guided(predict, latents, cfg_scale=scales[0], merge=False)

        schedule = self.model.schedule(steps[0], inputs["latents"])
        return rollout_loss(velocity, inputs["latents"], inputs["noise"], schedule)


def _number(sample: Sample, name: str, kind: Callable[[Any], Any], default: float | None = None) -> Any:
    """A column of a metadata row as a number."""
    text = sample.get(name, default)
    try:
        return kind(text)
    except (TypeError, ValueError):
        message = f"{sample[PLACE]}: {name} is {text!r}, expected a number; direct_distill needs it"
        raise TrainingError(message) from None
