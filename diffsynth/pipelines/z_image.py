"""Z-Image and Z-Image-Turbo: a prompt, and if wanted a picture to start from, become a picture.

Read `ZImagePipeline.__call__` from top to bottom: check, lay out the noise levels, start from noise (or from a noised
picture), encode the prompts, denoise, decode. Latents, sigmas and timesteps are float32 all the way. Several pictures
of one call are denoised as one batch, or one for each length of their prompts, and decoded one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import check_number, known_keywords_only
from diffsynth.core.device.device_types import NPU
from diffsynth.core.fused import use_fused
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.core.progress import ProgressBar, progress_bar
from diffsynth.diffusion.conditions import Call, contributed
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.diffusion.picture_pipeline import OUTPUT_TYPES, PicturePipeline, fitting_size, latent_shape
from diffsynth.diffusion.prompts import Embeddings, Texts, asked_prompts
from diffsynth.diffusion.request import check_output_type
from diffsynth.diffusion.step_end import LATENTS, Callback, StepEnd
from diffsynth.diffusion.turns import in_turn
from diffsynth.families.z_image import FAMILY
from diffsynth.models.flux_vae import FluxVAE, FluxVAEDecoder, FluxVAEEncoder
from diffsynth.models.z_image_dit import ZImageDiT
from diffsynth.models.z_image_prompt import ZImageTokenizer
from diffsynth.models.z_image_text_encoder import ZImageTextEncoder
from diffsynth.utils.frames import frames_from_video, video_from_frames

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffsynth.models.tiles import Tiling

__all__ = ["ModelConfig", "ZImagePipeline"]

NOT_YET = {
    **dict.fromkeys(("edit_image", "edit_image_auto_resize"), "editing (Z-Image-Omni-Base)"),
    "controlnet_inputs": "ControlNet",
    **dict.fromkeys(("image2lora_images", "positive_only_lora", "lora", "negative_lora"), "a LoRA made from pictures"),
}
AS_IN_DIFFUSERS = {
    "generator": "seed",
    "image": "input_image",
    "strength": "denoising_strength",
    "guidance_scale": "cfg_scale, which is 1 more: cfg_scale=1 is guidance_scale=0",
}


class ZImagePipeline(PicturePipeline):
    """Z-Image text-to-image and image-to-image. Make one with `from_pretrained`, then call it.

    Attributes:
        text_encoder, dit, vae, tokenizer, scheduler: the parts; `vae_encoder` and `vae_decoder` are the VAE's halves.
        device, torch_dtype: where and in what type they compute.
    """

    family = FAMILY
    text_encoder: ZImageTextEncoder | None
    dit: ZImageDiT | None
    vae: FluxVAE | None
    tokenizer: ZImageTokenizer | None

    @classmethod
    def from_pretrained(
        cls,
        torch_dtype: torch.dtype = torch.bfloat16,
        device: str | torch.device | None = None,
        model_configs: Sequence[ModelConfig] = (),
        tokenizer_config: ModelConfig | None = None,
        vram_limit: float | None = None,
        enable_npu_patch: bool = True,
        **others: Any,
    ) -> ZImagePipeline:
        """As `BasePipeline.from_pretrained`.

        Args:
            enable_npu_patch: on an Ascend NPU, compute the RMS norms and the rotary embedding by its fused operators,
                in this pipeline's DiT and text encoder; False: by torch's.

        Raises:
            NotImplementedError: `use_usp`, which this family does not have.
        """
        if others.pop("use_usp", False):
            raise NotImplementedError("use_usp: sharing a generation of Z-Image is not part of this version")
        pipe = super().from_pretrained(
            torch_dtype, device, model_configs, tokenizer_config, vram_limit=vram_limit, **others
        )
        pipe.enable_npu_patch(enable_npu_patch)
        return pipe

    def enable_npu_patch(self, enabled: bool = True) -> None:
        """Whether DiT and text encoder take an Ascend NPU's fused operators; of no effect on other devices."""
        for network in (self.dit, self.text_encoder):
            if network is not None:
                use_fused(network, enabled or self.device.type != NPU)

    @property
    def vae_encoder(self) -> FluxVAEEncoder | None:
        """The half that makes latents of pictures."""
        return None if self.vae is None else self.vae.encoder

    @property
    def vae_decoder(self) -> FluxVAEDecoder | None:
        """The half that makes pictures of latents."""
        return None if self.vae is None else self.vae.decoder

    @known_keywords_only(
        "pipe", later=NOT_YET, later_defaults={"edit_image_auto_resize": True}, elsewhere=AS_IN_DIFFUSERS
    )
    @in_turn
    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = "",
        negative_prompt: str | Sequence[str] | None = "",
        cfg_scale: float = 1.0,
        input_image: Image.Image | None = None,
        denoising_strength: float = 1.0,
        height: int = 1024,
        width: int = 1024,
        seed: int | Sequence[int] | None = None,
        rand_device: str | torch.device = "cpu",
        num_inference_steps: int = 8,
        sigma_shift: float | None = None,
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
    ) -> Image.Image | list[Image.Image] | Tensor:
        """Makes a picture, or several: for a list of prompts, or with `num_images_per_prompt` above 1, a list of them.

        Args:
            prompt, negative_prompt: what to show, and what not; a list of prompts makes one picture of each, or
                `num_images_per_prompt`, those of the first prompt first. A negative prompt is for all, or one for each.
            cfg_scale: guidance scale; 1 means none, in half the time, as Z-Image-Turbo is made for.
            input_image: a picture of the size asked for to start from; `denoising_strength` below 1 keeps some of it.
            height, width: rounded up to multiples of 16, with a warning.
            seed, rand_device: the noise is drawn on that device from that seed, in `torch_dtype`; the same seed gives
                other noise on another kind of device. Several pictures have the seeds from this one on, or those of a
                list.
            num_inference_steps: number of steps; Z-Image-Turbo needs 8.
            sigma_shift: how strongly they gather where noise is strong; 3 by default.
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
        check_output_type(output_type, OUTPUT_TYPES)
        step_end = StepEnd(callback_on_step_end, callback_on_step_end_tensor_inputs)
        check_number("cfg_scale", cfg_scale)
        height, width = fitting_size(height, width)
        self.needs("dit", "making a picture")
        assert self.dit is not None
        embeddings = Embeddings(prompt_embeds, negative_prompt_embeds, prompt_embeds_mask, negative_prompt_embeds_mask)
        prompts = asked_prompts(
            prompt,
            negative_prompt,
            embeddings.rows(unwrapped(self.dit).text_dim, self.device),
            guided=cfg_scale != 1,
            per_prompt=("num_images_per_prompt", num_images_per_prompt),
        )
        self.needs_for("making a picture", prompts, output_type)

        schedule = copy(self.scheduler)  # of this call alone
        schedule.set_timesteps(num_inference_steps, denoising_strength=denoising_strength, shift=sigma_shift)
        asked = {"input_image": input_image, "denoising_strength": denoising_strength}
        call = Call(self, "making a picture", asked, prompts, height, width, 1, {}, progress_bar_cmd)
        for condition in self.conditions:
            condition.check(call)
        draw = partial(self.draw_noise, rand_device=rand_device, height=height, width=width)
        latents = self.first_latents(latents, seed, prompts.count, latent_shape(height, width), draw)
        given = contributed(self.conditions, call)
        if given.latents is not None:
            latents = schedule.add_noise(given.latents, latents, 0)
        texts = self.embedded(prompts, given.with_prompt)
        latents = self.denoise(latents, schedule, texts, cfg_scale, progress_bar_cmd, step_end)
        pictures = self.finished(latents, output_type, self.decode_latents)
        return pictures[0] if prompts.single and not isinstance(pictures, Tensor) else pictures

    def encode_prompts(self, prompts: dict[str, str]) -> dict[str, Tensor]:
        """Text embeddings (1, length, dim) by branch."""
        return self.embeddings_of(prompts)

    @in_turn
    @torch.no_grad()
    def encode_prompt(
        self, prompt: str | Sequence[str], num_images_per_prompt: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        """What a call takes as `prompt_embeds` and `prompt_embeds_mask`, or as those of negative prompts: (prompts, L,
        dim) and (prompts, L), times `num_images_per_prompt`; the mask is None where nothing is padding.

        Raises:
            ValueError: a prompt is no string.
            RuntimeError: the text encoder was not loaded.
        """
        self.needs("text_encoder", "encoding a prompt")
        return self._padded_embeddings(prompt, num_images_per_prompt)

    def _embedding(self, prompt: str) -> Tensor:
        """Of one prompt, (length, dim), by the text encoder, which is ready."""
        assert self.text_encoder is not None
        assert self.tokenizer is not None
        return self.text_encoder(self.tokenizer.ids_of_prompt(prompt).to(self.device))[0]

    def encode_picture(
        self, picture: Image.Image, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Tensor:
        """Latents of a picture whose sides are multiples of 16: (1, 16, H/8, W/8), float32. It is encoded whole: there
        are no tiles to show progress over."""
        vae = self.needs("vae", "encoding a picture")
        assert self.vae is not None
        self.load_models_to_device(["vae"])
        video = video_from_frames([picture], height=picture.height, width=picture.width, num_frames=1)
        return self.vae.encode(video[:, :, 0].to(self.device, vae.dtype)).float()

    def decode_latents(self, latents: Tensor) -> Image.Image:
        """The picture of latents (1, 16, h, w)."""
        vae = self.needs("vae", "decoding a picture")
        assert self.vae is not None
        self.load_models_to_device(["vae"])
        return frames_from_video(self.vae.decode(latents.to(vae.dtype)).unsqueeze(2))[0]

    def denoise(
        self,
        latents: Tensor,
        schedule: FlowMatchScheduler,
        texts: Texts,
        cfg_scale: float = 1.0,
        progress_bar_cmd: ProgressBar = progress_bar,
        step_end: StepEnd | None = None,
    ) -> Tensor:
        """Walks the latents down the schedule's noise levels, from whichever they are at to clean.

        Args:
            latents: (pictures, 16, h, w).
            texts: by branch, (L, dim) for each picture.
            step_end: what is told of each step, and may change what follows.
        """
        return self._denoised(
            latents, schedule, texts, cfg_scale=cfg_scale, progress_bar_cmd=progress_bar_cmd, step_end=step_end
        )
