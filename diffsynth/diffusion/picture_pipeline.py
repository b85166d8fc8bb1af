"""What pipelines of pictures share, whose latents are cells of 8x8 pixels that the network takes in patches of 2x2.

A call goes the way of `BasePipeline._made`. Several pictures of one call are denoised as one batch, or one for each
length of their prompts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.progress import ProgressBar, progress_bar
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.conditions import (
    NOTHING,
    Call,
    Condition,
    Contribution,
    Start,
    of_batch,
)
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import POSITIVE
from diffsynth.diffusion.prompts import Texts, asked_prompts, of_each_length, padded
from diffsynth.diffusion.request import drawn_noise
from diffsynth.diffusion.step_end import StepEnd
from diffsynth.utils.frames import check_size

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffsynth.models.tiles import Tiling

LATENT_CHANNELS, LATENT_PIXELS = 16, 8
TOKEN_PIXELS = 16  # one patch is 2x2 latents of 8x8 pixels


class PicturePipeline(BasePipeline, ABC):
    """A pipeline of pictures."""

    purpose = "making a picture"
    dit: nn.Module | None

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Makes a picture, or several: for a list of prompts, or with `num_images_per_prompt` above 1, a list of them.

        Args:
            prompt, negative_prompt: what to show, and what not; a list of prompts makes one picture of each, or
                `num_images_per_prompt`, those of the first prompt first. A negative prompt is for all, or one for each.
            cfg_scale: guidance scale; 1 means none, in half the time.
            input_image: a picture of the size asked for to start from; `denoising_strength` below 1 keeps some of it.
            height, width: rounded up to multiples of 16, with a warning.
            seed, rand_device: the noise is drawn on that device from that seed, in `torch_dtype`; the same seed gives
                other noise on another kind of device. Several pictures have the seeds from this one on, or those of a
                list.
            num_inference_steps: number of steps.
            progress_bar_cmd: what wraps the loops; tqdm on a terminal by default.
            output_type: "quantized" for PIL images, "latent" for what would be decoded, (pictures, 16, H/8, W/8).
            latents: to start from, in the place of noise, of that shape.
            prompt_embeds, negative_prompt_embeds: embedded prompts (prompts, L, dim), in the place of prompts, and
                masks (prompts, L) of what in them is no padding; as `encode_prompt` makes them. The text encoder is
                then not needed.
            callback_on_step_end: called after each step with this pipeline, the step's number, its timestep and a dict
                of `callback_on_step_end_tensor_inputs`: "latents", "prompt_embeds", "negative_prompt_embeds". What it
                returns by these names is gone on with. ``pipe.interrupt = True`` ends the steps.

        Raises:
            ValueError: a value is out of its range, or a picture, latents or embeddings do not fit.
            RuntimeError: a network that this needs was not loaded.
        """

    def _picture(self, asked: Mapping[str, Any], tiles: Tiling, **levels: Any) -> Any:
        """What a call makes of its keywords, with a size that fits; see `_made`."""
        size, scale, progress = (asked["height"], asked["width"], 1), asked["cfg_scale"], asked["progress_bar_cmd"]
        decode = partial(self.decode_latents, progress_bar_cmd=progress, **tiles)
        return self._made(asked, size, tiles, {"cfg_scale": scale}, decode, guided=scale != 1, **levels)

    def _grid(self, call: Call[Any], given: Contribution) -> dict[str, Any]:
        number = call.asked.get("layer_num")
        return {"height": call.height, "width": call.width, "layers": None if number is None else number + 1}

    @abstractmethod
    def encode_picture(
        self, picture: Image.Image, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Tensor:
        """Latents of a picture whose sides are multiples of 16: (1, 16, H/8, W/8), float32."""

    @abstractmethod
    def decode_latents(
        self, latents: Tensor, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Any:
        """The picture of latents (1, 16, h, w)."""

    def latent_shape(self, height: int, width: int, layers: int | None = None) -> tuple[int, ...]:
        """Of one picture's latents: channels, layers if there are any, rows and columns."""
        of_layers = () if layers is None else (layers,)
        return (LATENT_CHANNELS, *of_layers, height // LATENT_PIXELS, width // LATENT_PIXELS)

    def draw_noise(
        self, seed: int | None, rand_device: str | torch.device, height: int, width: int, layers: int | None = None
    ) -> Tensor:
        """Noise of a picture's latents: (1, 16, H/8, W/8), or with layers (1, 16, layers, H/8, W/8), float32, drawn on
        `rand_device` in `torch_dtype`, one layer after another."""
        shape = (layers or 1, *self.latent_shape(height, width))
        noise = drawn_noise(shape, seed, rand_device, self.torch_dtype).to(self.device)
        if layers is not None:
            noise = noise.transpose(0, 1).unsqueeze(0)
        return self.as_on_the_first(noise)  # without a seed, each process has drawn its own

    def _padded_embeddings(
        self, prompt: str | Sequence[str], num_images_per_prompt: int, **with_prompt: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Of so many results of each prompt, (results, L, dim), and a mask (results, L) of what is no padding."""
        self.needs("text_encoder", "encoding a prompt")
        per_prompt = ("num_images_per_prompt", num_images_per_prompt)
        prompts = asked_prompts(prompt, "", {}, guided=False, per_prompt=per_prompt)
        return padded(self.embedded(prompts, with_prompt)[POSITIVE])

    def denoise(
        self,
        latents: Tensor,
        schedule: FlowMatchScheduler,
        texts: Texts,
        given: Contribution = NOTHING,
        cfg_scale: float = 1.0,
        progress_bar_cmd: ProgressBar = progress_bar,
        step_end: StepEnd | None = None,
    ) -> Tensor:
        """Walks the latents down the schedule's noise levels, from whichever they are at to clean.

        Args:
            latents: (pictures, 16, h, w), or with layers (pictures, 16, layers, h, w).
            texts: by branch, (L, dim) for each picture.
            given: what pictures contribute.
            step_end: what is told of each step, and may change what follows.
        """
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
        parts: list[Tensor] = []
        for numbers in batches:
            context = torch.stack([rows[number] for number in numbers]).to(self.networks["dit"].dtype)
            noisy = given.beside(latents if len(batches) == 1 else latents[numbers])
            inputs = {name: of_batch(value, len(numbers)) for name, value in asked.items()}
            parts.append(self.dit(noisy, timestep.expand(len(numbers)), context, **inputs))
        if len(batches) == 1:
            return parts[0]
        back = torch.tensor([number for numbers in batches for number in numbers], device=latents.device).argsort()
        return torch.cat(parts)[back]

    def _inputs_of_dit(self, given: Contribution, branch: str) -> Mapping[str, Any]:
        """What it is called with for a text branch, besides noisy latents, timestep and prompt."""
        return {**given.inputs, **given.of_branch.get(branch, {})}


class InputImage(Start[PicturePipeline]):
    """`input_image`."""

    keywords = ("input_image",)

    def prepare(self, call: Call[PicturePipeline]) -> Contribution:
        picture = call.asked["input_image"]
        check_size("input_image", picture, call.height, call.width)
        latents = call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles)
        return Contribution(latents=latents if call.asked.get("layer_num") is None else latents.unsqueeze(2))


CONDITIONS: tuple[Condition[PicturePipeline], ...] = (InputImage(),)
"""Of a family that takes no others."""
