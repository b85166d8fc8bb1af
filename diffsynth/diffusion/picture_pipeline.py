"""What pipelines of pictures share, whose latents are cells of 8x8 pixels that the network takes in patches of 2x2.

Read `PicturePipeline._made` from top to bottom: check, lay out the noise levels, start from noise (or from a noised
picture), encode pictures and prompts, denoise, decode. Latents, sigmas and timesteps are float32 all the way. Several
pictures of one call are denoised as one batch, or one for each length of their prompts, and decoded one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.caller import check_number
from diffsynth.core.progress import ProgressBar, progress_bar
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.conditions import (
    NOTHING,
    Call,
    Condition,
    Contribution,
    Start,
    asked_of,
    combined,
    of_batch,
)
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import POSITIVE
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.diffusion.prompts import Embeddings, Texts, asked_prompts, of_each_length, padded
from diffsynth.diffusion.request import check_output_type, drawn_noise, rounded_up
from diffsynth.diffusion.step_end import StepEnd
from diffsynth.utils.frames import check_size

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffsynth.models.tiles import Tiling

LATENT_CHANNELS, LATENT_PIXELS = 16, 8
PURPOSE = "making a picture"
TOKEN_PIXELS = 16  # one patch is 2x2 latents of 8x8 pixels
OUTPUT_TYPES = ("quantized", "latent")

Branch = TypeVar("Branch", bound=Hashable)


class PicturePipeline(BasePipeline, ABC):
    """A pipeline of pictures."""

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

    def _made(self, asked: Mapping[str, Any], tiles: Tiling, **levels: Any) -> Any:
        """What a call makes.

        Args:
            asked: its keywords, with a size that fits.
            tiles: keywords of the VAE.
            levels: what the noise levels depend on, besides the number of steps and `denoising_strength`.
        """
        height, width, cfg_scale, output_type = (
            asked[name] for name in ("height", "width", "cfg_scale", "output_type")
        )
        check_output_type(output_type, OUTPUT_TYPES)
        check_number("cfg_scale", cfg_scale)
        step_end = StepEnd(asked["callback_on_step_end"], asked["callback_on_step_end_tensor_inputs"])
        self.needs("dit", PURPOSE)
        dit: Any = self.dit
        embeddings = Embeddings(
            asked["prompt_embeds"],
            asked["negative_prompt_embeds"],
            asked["prompt_embeds_mask"],
            asked["negative_prompt_embeds_mask"],
        )
        prompts = asked_prompts(
            asked["prompt"],
            asked["negative_prompt"],
            embeddings.rows(unwrapped(dit).text_dim, self.device),
            guided=cfg_scale != 1,
            per_prompt=("num_images_per_prompt", asked["num_images_per_prompt"]),
        )
        self.needs_for(PURPOSE, prompts, output_type)
        schedule = copy(self.scheduler)  # of this call alone
        strength, progress = asked["denoising_strength"], asked["progress_bar_cmd"]
        schedule.set_timesteps(asked["num_inference_steps"], denoising_strength=strength, **levels)
        call = Call(self, PURPOSE, asked, prompts, height, width, 1, tiles, progress)
        asked_units = asked_of(self.conditions, call)
        layers = None if asked.get("layer_num") is None else asked["layer_num"] + 1
        draw = partial(self.draw_noise, rand_device=asked["rand_device"], height=height, width=width, layers=layers)
        shape = latent_shape(height, width, layers)
        latents = self.first_latents(asked["latents"], asked["seed"], prompts.count, shape, draw)
        given = combined(unit.prepare(call) for unit in asked_units)
        if given.latents is not None:
            clean = given.latents if layers is None else given.latents.unsqueeze(2)
            latents = schedule.add_noise(clean, latents, 0)
        texts = self.embedded(prompts, given.with_prompt)
        latents = self.denoise(latents, schedule, texts, given, cfg_scale, progress, step_end)
        pictures = self.finished(latents, output_type, lambda one: self.decode_latents(one, progress, **tiles))
        return pictures[0] if prompts.single and not isinstance(pictures, Tensor) else pictures

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

    def encode_prompts(self, prompts: Mapping[Branch, str], **with_prompt: Any) -> dict[Branch, Tensor]:
        """Text embeddings (1, length, dim) by branch.

        Args:
            with_prompt: what the text encoder gets besides each prompt: of Qwen-Image, `pictures` that it speaks of,
                and whether it calls them by their numbers, `numbered`.
        """
        self.load_models_to_device(["text_encoder"])
        return {branch: self._embedding(one, **with_prompt).unsqueeze(0) for branch, one in prompts.items()}

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


class InputImage(Start[PicturePipeline]):
    """`input_image`."""

    keywords = ("input_image",)

    def prepare(self, call: Call[PicturePipeline]) -> Contribution:
        picture = call.asked["input_image"]
        check_size("input_image", picture, call.height, call.width)
        return Contribution(latents=call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles))


CONDITIONS: tuple[Condition[PicturePipeline], ...] = (InputImage(),)
"""Of a family that takes no others."""


def latent_shape(height: int, width: int, layers: int | None = None) -> tuple[int, ...]:
    """Of one picture's latents: channels, layers if there are any, rows and columns."""
    return (LATENT_CHANNELS, *([] if layers is None else [layers]), height // LATENT_PIXELS, width // LATENT_PIXELS)


def fitting_size(height: int, width: int) -> tuple[int, int]:
    """The size rounded up to what the networks take, with a warning where it changes.

    Raises:
        ValueError: a value is not a whole number above 0.
    """
    return rounded_up("height", height, TOKEN_PIXELS), rounded_up("width", width, TOKEN_PIXELS)
