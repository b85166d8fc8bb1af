"""Qwen-Image and its kin: a prompt, and if wanted pictures, become a picture, or the layers of one.

A call goes the way of `PicturePipeline`; here is what is Qwen-Image's own. Layers of a picture have an axis of their
own, (pictures, 16, layers, h, w).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import known_keywords_only
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.core.progress import ProgressBar, progress_bar
from diffsynth.diffusion.conditions import Contribution
from diffsynth.diffusion.picture_pipeline import (
    TOKEN_PIXELS,
    PicturePipeline,
)
from diffsynth.diffusion.request import fitting_size
from diffsynth.diffusion.step_end import LATENTS, Callback
from diffsynth.diffusion.turns import in_turn
from diffsynth.families.qwen_image import FAMILY
from diffsynth.families.qwen_image.conditions import EDIT_AREA, ControlNetInput, edit_pictures
from diffsynth.models.qwen_image_controlnet import QwenImageBlockWiseControlNet
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.qwen_image_text_encoder import (
    QwenImageProcessor,
    QwenImageTextEncoder,
    QwenImageTokenizer,
    edit_inputs,
    text_inputs,
)
from diffsynth.models.qwen_image_vae import QwenImageVAE
from diffsynth.utils.frames import frames_from_video, video_from_frames

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffsynth.models.tiles import Tiling

__all__ = ["ControlNetInput", "ModelConfig", "QwenImagePipeline"]

PICTURES = Image.Image | list[Image.Image]
NOT_YET = dict.fromkeys(("kv_cache", "negative_kv_cache"), "what a model of DiffSynth-Studio's templates computes")
# What diffusers' pipelines call a keyword, and what it is here.
AS_IN_DIFFUSERS = {
    "true_cfg_scale": "cfg_scale",
    "guidance_scale": "cfg_scale",
    "generator": "seed",
    "image": "edit_image",
    "strength": "denoising_strength",
    "num_videos_per_prompt": "num_images_per_prompt",
}


class QwenImagePipeline(PicturePipeline):
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
        """Makes a picture, or several: see `PicturePipeline.__call__`. With `layer_num`, each is a list of layers, the
        whole picture first, and latents are (pictures, 16, layers, H/8, W/8).

        Args:
            prompt: what to show, or what to change in `edit_image`.
            inpaint_mask: white where `input_image` may change; `inpaint_blur_size` and `inpaint_blur_sigma` soften its
                edge, in latents.
            exponential_shift_mu: how strongly steps gather where noise is strong; by default it follows from the size.
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

        Raises:
            ValueError: a value is out of its range, or a picture, latents or embeddings do not fit.
            RuntimeError: a network that this needs, or the processor for `edit_image`, was not loaded.
        """
        height, width = fitting_size(height, width)[:2]
        asked = dict(locals())  # every keyword
        tiles: Tiling = {
            "tiled": tiled,
            "tile_size": (tile_size, tile_size),
            "tile_stride": (tile_stride, tile_stride),
        }
        tokens = (height // TOKEN_PIXELS) * (width // TOKEN_PIXELS)
        pictures: PICTURES | list[PICTURES] | Tensor = self._picture(
            asked, tiles, dynamic_shift_len=tokens, exponential_shift_mu=exponential_shift_mu
        )
        return pictures

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
        edited = edit_pictures(edit_image, area=EDIT_AREA if edit_image_auto_resize else None)
        return self._padded_embeddings(prompt, num_images_per_prompt, **edited.with_prompt())

    def _embedding(self, prompt: str, pictures: Sequence[Image.Image] = (), numbered: bool = False) -> Tensor:
        """Of one prompt, (length, dim), by the text encoder, which is ready."""
        assert self.text_encoder is not None
        assert self.tokenizer is not None
        if pictures:
            given = edit_inputs(self.tokenizer, self.needs_processor(), prompt, pictures, numbered=numbered)
        else:
            given = text_inputs(self.tokenizer, prompt)
        return self.text_encoder(*given.arguments(self.device))[0, given.template_tokens :]

    def needs_processor(self) -> QwenImageProcessor:
        """What looks at pictures; raises RuntimeError where none was loaded."""
        if self.processor is None:
            raise RuntimeError(
                "edit_image needs the processor, and none was loaded: give from_pretrained a processor_config such as "
                "ModelConfig(model_id='Qwen/Qwen-Image-Edit', origin_file_pattern='processor/')"
            )
        return self.processor

    def encode_picture(
        self, picture: Image.Image, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Tensor:
        """Latents of a picture whose sides are multiples of 16: (1, 16, H/8, W/8), float32."""
        vae = self.needs("vae", "encoding a picture")
        assert self.vae is not None
        mode = "RGB" if self.vae.image_channels == 3 else "RGBA"
        video = video_from_frames([picture], height=picture.height, width=picture.width, num_frames=1, mode=mode)
        latents = self.through_vae("encode", video.to(vae.dtype), progress_bar_cmd=progress_bar_cmd, **tiles)
        return latents[:, :, 0].float()

    def decode_latents(
        self, latents: Tensor, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> PICTURES:
        """The picture of latents (1, 16, h, w); the layers of latents (1, 16, layers, h, w)."""
        vae = self.needs("vae", "decoding a picture")

        def decode(video: Tensor) -> Image.Image:
            decoded = self.through_vae("decode", video.to(vae.dtype), progress_bar_cmd=progress_bar_cmd, **tiles)
            return frames_from_video(decoded)[0]

        if latents.dim() == 4:
            return decode(latents.unsqueeze(2))
        return [decode(layer) for layer in torch.split(latents, 1, dim=2)]  # each is a picture of its own

    def _inputs_of_dit(self, given: Contribution, branch: str) -> Mapping[str, Any]:
        return {**super()._inputs_of_dit(given, branch), "edit_latents": given.pictures}
