"""The tasks of training: what each encodes of a sample, and what it minimises. Whose network it is, an adapter says."""

from __future__ import annotations

import argparse
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from diffsynth.core.data.media_dataset import PLACE
from diffsynth.diffusion.guidance import POSITIVE, guided
from diffsynth.diffusion.training.adapter import TrainingAdapter
from diffsynth.diffusion.training.arguments import names, trained_name
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.losses import rollout_loss
from diffsynth.diffusion.training.runner import Inputs, Sample

KEPT = "kept"
"""Of a sample's tensors: 1 where its latents are given to the network clean, (1, 1, ...)."""


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

        return self.model.flow_match_loss(velocity, inputs["latents"], generator, inputs.get(KEPT))


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
