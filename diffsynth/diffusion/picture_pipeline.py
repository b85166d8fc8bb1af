"""What pipelines of pictures share, whose latents are cells of 8x8 pixels that the network takes in patches of 2x2.

Several pictures of one call are denoised as one batch, or one for each length of their prompts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.progress import ProgressBar, progress_bar
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.conditions import NOTHING, Contribution, of_batch
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import POSITIVE
from diffsynth.diffusion.prompts import Texts, asked_prompts, of_each_length, padded
from diffsynth.diffusion.request import drawn_noise, rounded_up
from diffsynth.diffusion.step_end import StepEnd

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffsynth.models.tiles import Tiling

LATENT_CHANNELS, LATENT_PIXELS = 16, 8
TOKEN_PIXELS = 16  # one patch is 2x2 latents of 8x8 pixels
OUTPUT_TYPES = ("quantized", "latent")

Branch = TypeVar("Branch", bound=Hashable)


class PicturePipeline(BasePipeline, ABC):
    """A pipeline of pictures."""

    dit: nn.Module | None

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Makes a picture, or several."""

    @abstractmethod
    def encode_picture(
        self, picture: Image.Image, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Tensor:
        """Latents of a picture whose sides are multiples of 16: (1, 16, H/8, W/8), float32."""

    def draw_noise(
        self, seed: int | None, rand_device: str | torch.device, height: int, width: int, layers: int | None = None
    ) -> Tensor:
        """Noise of a picture's latents: (1, 16, H/8, W/8), or with layers (1, 16, layers, H/8, W/8), float32, drawn on
        `rand_device` in `torch_dtype`, one layer after another."""
        shape = latent_shape(height, width)
        noise = drawn_noise((layers or 1, *shape), seed, rand_device, self.torch_dtype).to(self.device)
        if layers is not None:
            noise = noise.transpose(0, 1).unsqueeze(0)
        return self.as_on_the_first(noise)  # without a seed, each process has drawn its own

    def embeddings_of(self, prompts: Mapping[Branch, str], **with_prompt: Any) -> dict[Branch, Tensor]:
        """Text embeddings (1, length, dim) by branch.

        Args:
            with_prompt: what the text encoder gets besides each prompt.
        """
        self.load_models_to_device(["text_encoder"])
        return {branch: self._embedding(one, **with_prompt).unsqueeze(0) for branch, one in prompts.items()}

    def _padded_embeddings(
        self, prompt: str | Sequence[str], num_images_per_prompt: int, **with_prompt: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Of so many results of each prompt, (results, L, dim), and a mask (results, L) of what is no padding."""
        per_prompt = ("num_images_per_prompt", num_images_per_prompt)
        prompts = asked_prompts(prompt, "", {}, guided=False, per_prompt=per_prompt)
        return padded(self.embedded(prompts, with_prompt)[POSITIVE])

    def _denoised(
        self,
        latents: Tensor,
        schedule: FlowMatchScheduler,
        texts: Texts,
        given: Contribution = NOTHING,
        *,
        cfg_scale: float,
        progress_bar_cmd: ProgressBar,
        step_end: StepEnd | None,
    ) -> Tensor:
        """The latents, walked down the schedule's noise levels."""
        self.load_models_to_device(["dit", *given.with_network.get("dit", ())])

        def velocity(index: int, latents: Tensor, texts: Texts) -> Tensor:
            timestep, now = schedule.timesteps[index].to(self.device), given.at(index, len(schedule.timesteps))
            predict = partial(self._velocity, timestep=timestep, texts=texts, given=now)
            return self.guided(predict, latents, cfg_scale)

        return self.walked(latents, schedule, texts, velocity, given, progress_bar_cmd, step_end)

    def _velocity(self, latents: Tensor, branch: str, *, timestep: Tensor, texts: Texts, given: Contribution) -> Tensor:
        """The network's, of one text branch; pictures whose prompts are equally long as one batch."""
        assert self.dit is not None
        rows, asked = texts[branch], self._inputs_of_dit(given, branch)
        batches = of_each_length(rows)
        parts = []
        for numbers in batches:
            context = torch.stack([rows[number] for number in numbers]).to(self.networks["dit"].dtype)
            noisy = given.beside(latents if len(batches) == 1 else latents[numbers])
            inputs = {name: of_batch(value, len(numbers)) for name, value in asked.items()}
            velocity: Tensor = self.dit(noisy, timestep.expand(len(numbers)), context, **inputs)
            parts.append(velocity)
        if len(batches) == 1:
            return parts[0]
        back = torch.tensor([number for numbers in batches for number in numbers], device=latents.device).argsort()
        return torch.cat(parts)[back]

    def _inputs_of_dit(self, given: Contribution, branch: str) -> Mapping[str, Any]:
        """What it is called with for a text branch, besides noisy latents, timestep and prompt."""
        return {**given.inputs, **given.of_branch.get(branch, {})}


def latent_shape(height: int, width: int, layers: int | None = None) -> tuple[int, ...]:
    """Of one picture's latents: channels, layers if there are any, rows and columns."""
    return (LATENT_CHANNELS, *([] if layers is None else [layers]), height // LATENT_PIXELS, width // LATENT_PIXELS)


def fitting_size(height: int, width: int) -> tuple[int, int]:
    """The size rounded up to what the networks take, with a warning where it changes.

    Raises:
        ValueError: a value is not a whole number above 0.
    """
    return rounded_up("height", height, TOKEN_PIXELS), rounded_up("width", width, TOKEN_PIXELS)
