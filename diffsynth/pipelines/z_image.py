"""Z-Image and Z-Image-Turbo: a prompt, and if wanted a picture to start from, become a picture.

A call goes the way of `PicturePipeline`; here is what is Z-Image's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import known_keywords_only
from diffsynth.core.device.device_types import NPU
from diffsynth.core.fused import use_fused
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.core.progress import ProgressBar, progress_bar
from diffsynth.diffusion.picture_pipeline import PicturePipeline
from diffsynth.diffusion.request import fitting_size
from diffsynth.diffusion.step_end import LATENTS, Callback
from diffsynth.diffusion.turns import in_turn
from diffsynth.families.z_image import FAMILY
from diffsynth.models.flux_vae import FluxVAE, FluxVAEDecoder, FluxVAEEncoder
from diffsynth.models.z_image_dit import ZImageDiT
from diffsynth.models.z_image_text_encoder import ZImageTextEncoder, ZImageTokenizer
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
        """Makes a picture, or several: see `PicturePipeline.__call__`.

        Args:
            cfg_scale: guidance scale; 1 means none, in half the time, as Z-Image-Turbo is made for.
            num_inference_steps: number of steps; Z-Image-Turbo needs 8.
            sigma_shift: how strongly they gather where noise is strong; 3 by default.
        """
        height, width = fitting_size(height, width)[:2]
        pictures: Image.Image | list[Image.Image] | Tensor = self._picture(dict(locals()), {}, shift=sigma_shift)
        return pictures

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

    def decode_latents(
        self, latents: Tensor, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Image.Image:
        """The picture of latents (1, 16, h, w), decoded whole."""
        vae = self.needs("vae", "decoding a picture")
        assert self.vae is not None
        self.load_models_to_device(["vae"])
        return frames_from_video(self.vae.decode(latents.to(vae.dtype)).unsqueeze(2))[0]
