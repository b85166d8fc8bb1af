"""Qwen-Image and its kin: a prompt, and if wanted pictures, become a picture, or the layers of one.

Read `QwenImagePipeline.__call__` from top to bottom: check, lay out the noise levels, start from noise (or from a
noised picture), encode the pictures to edit and the prompts, denoise, decode. Latents, sigmas and timesteps are float32
all the way. Several pictures of one call are denoised as one batch, or one for each length of their prompts, and
decoded one by one. Layers of a picture have an axis of their own, (pictures, 16, layers, h, w).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import check_number, known_keywords_only
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.core.progress import ProgressBar, labelled, progress_bar
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.conditions import NOTHING, Call, Contribution, contributed, of_batch
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import POSITIVE, guided, guided_apart
from diffsynth.diffusion.prompts import Embeddings, Texts, asked_prompts, of_each_length, padded
from diffsynth.diffusion.request import drawn_noise, rounded_up, seeds_of, warn_unless_finite
from diffsynth.diffusion.step_end import LATENTS, Callback, StepEnd
from diffsynth.diffusion.turns import in_turn
from diffsynth.families.qwen_image import FAMILY
from diffsynth.families.qwen_image.conditions import EDIT_AREA, TOKEN_PIXELS, edit_pictures
from diffsynth.families.qwen_image.control import LATENT_CHANNELS, ControlNetInput
from diffsynth.families.qwen_image.entities import LATENT_PIXELS
from diffsynth.models.qwen_image_controlnet import QwenImageBlockWiseControlNet
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.qwen_image_prompt import (
    PromptInputs,
    QwenImageProcessor,
    QwenImageTokenizer,
    edit_inputs,
    text_inputs,
)
from diffsynth.models.qwen_image_text_encoder import QwenImageTextEncoder
from diffsynth.models.qwen_image_vae import QwenImageVAE
from diffsynth.models.tiles import check_tiles
from diffsynth.utils.frames import frames_from_video, video_from_frames

__all__ = ["ControlNetInput", "ModelConfig", "QwenImagePipeline"]

PICTURES = Image.Image | list[Image.Image]
NOT_YET = dict.fromkeys(("kv_cache", "negative_kv_cache"), "what a model of DiffSynth-Studio's templates computes")
Branch = TypeVar("Branch", bound=Hashable)
OUTPUT_TYPES = ("quantized", "latent")
# What diffusers' pipelines call a keyword, and what it is here.
AS_IN_DIFFUSERS = {
    "true_cfg_scale": "cfg_scale",
    "guidance_scale": "cfg_scale",
    "generator": "seed",
    "image": "edit_image",
    "strength": "denoising_strength",
    "num_videos_per_prompt": "num_images_per_prompt",
}


class QwenImagePipeline(BasePipeline):
    """Qwen-Image: text and pictures to pictures. Make one with `from_pretrained`, then call it.

    Attributes:
        text_encoder, dit, vae, tokenizer, processor, scheduler: the parts; `processor` looks at pictures to edit.
        blockwise_controlnet, blockwise_controlnet1 and so on: ControlNets, in the order of `model_configs`.
        device, torch_dtype: where and in what type they compute.
    """

    family = FAMILY
    text_encoder: QwenImageTextEncoder | None
    dit: QwenImageDiT | None
    vae: QwenImageVAE | None
    blockwise_controlnet: QwenImageBlockWiseControlNet | None
    blockwise_controlnet1: QwenImageBlockWiseControlNet | None
    blockwise_controlnet2: QwenImageBlockWiseControlNet | None
    blockwise_controlnet3: QwenImageBlockWiseControlNet | None
    tokenizer: QwenImageTokenizer | None
    processor: QwenImageProcessor | None

    def check_networks(self) -> None:
        if self.dit is not None and self.vae is not None and self.dit.layered and self.vae.image_channels == 3:
            raise ValueError(
                "a DiT of Qwen-Image-Layered with a VAE of pictures without transparency: load the vae of "
                "Qwen/Qwen-Image-Layered"
            )

    @known_keywords_only("pipe", later=NOT_YET, elsewhere=AS_IN_DIFFUSERS)
    @in_turn
    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = "",
        negative_prompt: str | Sequence[str] | None = "",
        cfg_scale: float = 4.0,
        input_image: Image.Image | None = None,
        denoising_strength: float = 1.0,
        inpaint_mask: Image.Image | None = None,
        inpaint_blur_size: int | None = None,
        inpaint_blur_sigma: float | None = None,
        height: int = 1328,
        width: int = 1328,
        seed: int | Sequence[int] | None = None,
        rand_device: str | torch.device = "cpu",
        num_inference_steps: int = 30,
        exponential_shift_mu: float | None = None,
        blockwise_controlnet_inputs: Sequence[ControlNetInput] | None = None,
        eligen_entity_prompts: Sequence[str] | None = None,
        eligen_entity_masks: Sequence[Image.Image] | None = None,
        eligen_enable_on_negative: bool = False,
        edit_image: Image.Image | Sequence[Image.Image] | None = None,
        edit_image_auto_resize: bool = True,
        edit_rope_interpolation: bool = False,
        zero_cond_t: bool = False,
        layer_input_image: Image.Image | None = None,
        layer_num: int | None = None,
        context_image: Image.Image | None = None,
        tiled: bool = False,
        tile_size: int = 128,
        tile_stride: int = 64,
        progress_bar_cmd: ProgressBar = progress_bar,
        output_type: str = "quantized",
        num_images_per_prompt: int = 1,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        prompt_embeds_mask: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_prompt_embeds_mask: Tensor | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = (LATENTS,),
    ) -> PICTURES | list[PICTURES] | Tensor:
        """Makes a picture, or several: for a list of prompts, or with `num_images_per_prompt` above 1, a list of them.
        With `layer_num`, each is a list of layers, the whole picture first.

        Args:
            prompt, negative_prompt: what to show, or what to change in `edit_image`, and what not; a list of prompts
                makes one picture of each, or `num_images_per_prompt`, those of the first prompt first. A negative
                prompt is for all, or one for each.
            cfg_scale: guidance scale; 1 means none, in half the time.
            input_image: a picture of the size asked for to start from; `denoising_strength` below 1 keeps some of it.
            inpaint_mask: white where `input_image` may change; `inpaint_blur_size` and `inpaint_blur_sigma` soften its
                edge, in latents.
            height, width: rounded up to multiples of 16, with a warning.
            seed, rand_device: the noise is drawn on that device from that seed, in `torch_dtype`; the same seed gives
                other noise on another kind of device. Several pictures have the seeds from this one on, or those of a
                list.
            num_inference_steps: number of steps.
            exponential_shift_mu: how strongly they gather where noise is strong; by default it follows from the size.
            blockwise_controlnet_inputs: what the picture is to follow, for the ControlNets that were loaded.
            eligen_entity_prompts, eligen_entity_masks: what is to be where in the picture, white in its mask;
                `eligen_enable_on_negative` gives the negative prompt the same areas.
            edit_image: the picture to edit with Qwen-Image-Edit, or a list of pictures with Edit-2509, which the
                prompt may call "Picture 1" and so on.
            edit_image_auto_resize: resize those to about 1024x1024 pixels; without, their sides have to be multiples
                of 16.
            edit_rope_interpolation: place what is seen of them as far out as the picture that is made, whatever their
                size, as the LoRA Qwen-Image-Edit-Lowres-Fix was trained.
            zero_cond_t: steer the pictures to edit by timestep 0: on for Qwen-Image-Edit-2511, and for no other.
            layer_input_image, layer_num: a picture of the size asked for to take apart, and into how many layers.
            context_image: edges, depths, a pose and so on to follow, for the LoRA of in-context control; resized.
            tiled, tile_size, tile_stride: encode and decode in overlapping square tiles, sizes in latents (8 pixels).
            progress_bar_cmd: what wraps the loops; tqdm on a terminal by default.
            output_type: "quantized" for PIL images, "latent" for what would be decoded, (pictures, 16, H/8, W/8),
                or with layers (pictures, 16, layers, H/8, W/8).
            latents: to start from, in the place of noise, of that shape.
            prompt_embeds, negative_prompt_embeds: embedded prompts (prompts, L, dim), in the place of prompts, and
                masks (prompts, L) of what in them is no padding; as `encode_prompt` makes them. The text encoder is
                then not needed.
            callback_on_step_end: called after each step with this pipeline, the step's number, its timestep and a dict
                of `callback_on_step_end_tensor_inputs`: "latents", "prompt_embeds", "negative_prompt_embeds". What it
                returns by these names is gone on with. ``pipe.interrupt = True`` ends the steps.

        Raises:
            ValueError: a value is out of its range, or a picture, latents or embeddings do not fit.
            RuntimeError: a network that this needs, or the processor for `edit_image`, was not loaded.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type={output_type!r}: expected {', '.join(map(repr, OUTPUT_TYPES))}")
        step_end = StepEnd(callback_on_step_end, callback_on_step_end_tensor_inputs)
        check_number("cfg_scale", cfg_scale)
        height, width = fitting_size(height, width)
        tiles = {"tiled": tiled, "tile_size": (tile_size,) * 2, "tile_stride": (tile_stride,) * 2}
        if tiled:
            check_tiles(tiles["tile_size"], tiles["tile_stride"])
        self.needs("dit", "making a picture")
        embeddings = Embeddings(prompt_embeds, negative_prompt_embeds, prompt_embeds_mask, negative_prompt_embeds_mask)
        prompts = asked_prompts(
            prompt,
            negative_prompt,
            embeddings.rows(self.dit.txt_in.in_features, self.device),
            guided=cfg_scale != 1,
            per_prompt=("num_images_per_prompt", num_images_per_prompt),
        )
        if not prompts.encoded_already:
            self.needs("text_encoder", "making a picture")
        if output_type != "latent":
            self.needs("vae", "making a picture")

        schedule = copy(self.scheduler)  # of this call alone
        schedule.set_timesteps(
            num_inference_steps,
            denoising_strength=denoising_strength,
            dynamic_shift_len=(height // TOKEN_PIXELS) * (width // TOKEN_PIXELS),
            exponential_shift_mu=exponential_shift_mu,
        )
        call = Call(
            self, "making a picture",
            {
                "input_image": input_image, "denoising_strength": denoising_strength,
                "inpaint_mask": inpaint_mask, "inpaint_blur_size": inpaint_blur_size,
                "inpaint_blur_sigma": inpaint_blur_sigma, "blockwise_controlnet_inputs": blockwise_controlnet_inputs,
                "eligen_entity_prompts": eligen_entity_prompts, "eligen_entity_masks": eligen_entity_masks,
                "eligen_enable_on_negative": eligen_enable_on_negative, "edit_image": edit_image,
                "edit_image_auto_resize": edit_image_auto_resize,
                "edit_rope_interpolation": edit_rope_interpolation, "zero_cond_t": zero_cond_t,
                "layer_input_image": layer_input_image, "layer_num": layer_num, "context_image": context_image,
            },
            prompts, height, width, 1, tiles, progress_bar_cmd,
        )  # fmt: skip
        for condition in self.conditions:
            condition.check(call)
        layers = None if layer_num is None else layer_num + 1
        draw = partial(self.draw_noise, rand_device=rand_device, height=height, width=width, layers=layers)
        if latents is None:
            latents = torch.cat([draw(one) for one in seeds_of(seed, prompts.count)])
        else:
            latents = self.given_latents(latents, prompts.count, latent_shape(height, width, layers))
        given = contributed(self.conditions, call)
        if given.latents is not None:
            clean = given.latents if layers is None else given.latents.unsqueeze(2)
            latents = schedule.add_noise(clean, latents, 0)
        if not prompts.encoded_already:
            self.load_models_to_device(["text_encoder"])
        texts = prompts.embedded(partial(self._embedding, **given.with_prompt))
        latents = self.denoise(latents, schedule, texts, given, cfg_scale, progress_bar_cmd, step_end)
        warn_unless_finite(latents)
        if output_type == "latent":
            self.load_models_to_device([])
            return latents
        pictures = [self.decode_latents(one, progress_bar_cmd, **tiles) for one in latents.split(1)]
        self.load_models_to_device([])
        return pictures[0] if prompts.single else pictures

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

    def encode_prompts(
        self, prompts: Mapping[Branch, str], pictures: Sequence[Image.Image] = (), numbered: bool = False
    ) -> dict[Branch, Tensor]:
        """Text embeddings (1, length, dim) by branch; of prompts that speak of `pictures`, where there are any."""
        self.load_models_to_device(["text_encoder"])
        return {branch: self._embedding(one, pictures, numbered).unsqueeze(0) for branch, one in prompts.items()}

    @in_turn
    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: str | Sequence[str],
        edit_image: Image.Image | Sequence[Image.Image] | None = None,
        edit_image_auto_resize: bool = True,
        num_images_per_prompt: int = 1,
    ) -> tuple[Tensor, Tensor | None]:
        """What a call takes as `prompt_embeds` and `prompt_embeds_mask`, or as those of negative prompts: (prompts, L,
        dim) and (prompts, L), times `num_images_per_prompt`; the mask is None where nothing is padding.

        Args:
            edit_image, edit_image_auto_resize: the pictures that the prompts speak of, as the call takes them.

        Raises:
            ValueError: a prompt is no string, or a picture does not fit.
            RuntimeError: the text encoder, or the processor for `edit_image`, was not loaded.
        """
        self.needs("text_encoder", "encoding a prompt")
        per_prompt = ("num_images_per_prompt", num_images_per_prompt)
        prompts = asked_prompts(prompt, "", {}, guided=False, per_prompt=per_prompt)
        edited = edit_pictures(edit_image, area=EDIT_AREA if edit_image_auto_resize else None)
        self.load_models_to_device(["text_encoder"])
        texts = prompts.embedded(partial(self._embedding, **edited.with_prompt()))
        return padded(texts[POSITIVE])

    def _embedding(self, prompt: str, pictures: Sequence[Image.Image] = (), numbered: bool = False) -> Tensor:
        """Of one prompt, (length, dim), by the text encoder, which is ready."""
        given = self._prompt_inputs(prompt, pictures, numbered)
        return self.text_encoder(*given.arguments(self.device))[0, given.template_tokens :]

    def _prompt_inputs(self, prompt: str, pictures: Sequence[Image.Image], numbered: bool) -> PromptInputs:
        if not pictures:
            return text_inputs(self.tokenizer, prompt)
        return edit_inputs(self.tokenizer, self.needs_processor(), prompt, pictures, numbered=numbered)

    def needs_processor(self) -> QwenImageProcessor:
        """What looks at pictures; raises RuntimeError where none was loaded."""
        if self.processor is None:
            raise RuntimeError(
                "edit_image needs the processor, and none was loaded: give from_pretrained a processor_config such as "
                "ModelConfig(model_id='Qwen/Qwen-Image-Edit', origin_file_pattern='processor/')"
            )
        return self.processor

    def encode_picture(
        self, picture: Image.Image, progress_bar_cmd: ProgressBar = progress_bar, **tiles: object
    ) -> Tensor:
        """Latents of a picture whose sides are multiples of 16: (1, 16, H/8, W/8), float32."""
        vae = self.needs("vae", "encoding a picture")
        mode = "RGB" if self.vae.image_channels == 3 else "RGBA"
        video = video_from_frames([picture], height=picture.height, width=picture.width, num_frames=1, mode=mode)
        return self.through_vae("encode", video.to(vae.dtype), progress_bar_cmd=progress_bar_cmd, **tiles)[
            :, :, 0
        ].float()

    def decode_latents(
        self, latents: Tensor, progress_bar_cmd: ProgressBar = progress_bar, **tiles: object
    ) -> PICTURES:
        """The picture of latents (1, 16, h, w); the layers of latents (1, 16, layers, h, w)."""
        vae = self.needs("vae", "decoding a picture")
        decode = partial(self.through_vae, "decode", progress_bar_cmd=progress_bar_cmd, **tiles)
        if latents.dim() == 4:
            return frames_from_video(decode(latents.unsqueeze(2).to(vae.dtype)))[0]
        layers = latents.to(vae.dtype).split(1, dim=2)  # one at a time, for each is a picture of its own
        return [frames_from_video(decode(layer))[0] for layer in layers]

    def denoise(
        self,
        latents: Tensor,
        schedule: FlowMatchScheduler,
        texts: Texts,
        given: Contribution = NOTHING,
        cfg_scale: float = 4.0,
        progress_bar_cmd: ProgressBar = progress_bar,
        step_end: StepEnd | None = None,
        *,
        zero_cond_t: bool = False,
    ) -> Tensor:
        """Walks the latents down the schedule's noise levels, from whichever they are at to clean.

        Args:
            latents: (pictures, 16, h, w).
            texts: by branch, (L, dim) for each picture.
            given: what pictures contribute.
            step_end: what is told of each step, and may change what follows.
        """
        self.load_models_to_device(["dit", *given.with_network.get("dit", ())])
        latents = given.start(latents)
        steps = len(schedule.timesteps)
        for index in labelled(progress_bar_cmd, "denoising")(range(steps)):
            if self.interrupted_anywhere():
                break
            timestep, sigma = schedule.timesteps[index], schedule.sigmas[index].item()
            now = given.at(index, steps)
            predict = partial(self._velocity, timestep=timestep.to(self.device), texts=texts, given=now)
            if self.mesh is not None and self.mesh.cfg.size > 1:
                velocity = guided_apart(predict, latents, cfg_scale=cfg_scale, group=self.mesh.cfg)
            else:
                velocity = guided(predict, latents, cfg_scale=cfg_scale, merge=False)
            velocity = given.velocity(velocity, latents, sigma)
            latents = given.start(schedule.step(velocity, index, latents))
            if step_end is not None and step_end.callback is not None:
                (latents, texts), _ = self.after_step(step_end, index, timestep, latents, texts)
        return latents

    def _velocity(self, latents: Tensor, branch: str, *, timestep: Tensor, texts: Texts, given: Contribution) -> Tensor:
        """The network's, of one text branch; pictures whose prompts are equally long as one batch."""
        rows = texts[branch]
        batches = of_each_length(rows)
        asked = {**given.inputs, **given.of_branch.get(branch, {}), "edit_latents": given.pictures}
        parts = []
        for numbers in batches:
            context = torch.stack([rows[number] for number in numbers]).to(self.networks["dit"].dtype)
            rows_of_batch = latents if len(batches) == 1 else latents[numbers]
            inputs = {name: of_batch(value, len(numbers)) for name, value in asked.items()}
            noisy = given.beside(rows_of_batch)
            parts.append(self.dit(noisy, timestep.expand(len(numbers)), context, **inputs))
        if len(batches) == 1:
            return parts[0]
        back = torch.tensor([number for numbers in batches for number in numbers], device=latents.device).argsort()
        return torch.cat(parts)[back]


def latent_shape(height: int, width: int, layers: int | None = None) -> tuple[int, ...]:
    """Of one picture's latents: channels, layers if there are any, rows and columns."""
    return (LATENT_CHANNELS, *([] if layers is None else [layers]), height // LATENT_PIXELS, width // LATENT_PIXELS)


def fitting_size(height: int, width: int) -> tuple[int, int]:
    """The size rounded up to what the networks take, with a warning where it changes.

    Raises:
        ValueError: a value is not a whole number above 0.
    """
    return rounded_up("height", height, TOKEN_PIXELS), rounded_up("width", width, TOKEN_PIXELS)
