"""Blockwise ControlNet: pictures of edges or depths to follow, or a picture of which a part is to be made anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageChops
from torch import Tensor

from diffsynth.core.caller import check_number, check_whole
from diffsynth.diffusion.conditions import Call, Contribution
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.diffusion.picture_pipeline import LATENT_CHANNELS
from diffsynth.families.qwen_image import CONTROLNETS
from diffsynth.models.qwen_image_controlnet import Control, Controls, QwenImageBlockWiseControlNet
from diffsynth.utils.frames import check_picture, check_size, video_from_frames

if TYPE_CHECKING:
    from diffsynth.pipelines.qwen_image import QwenImagePipeline

KEYWORD = "blockwise_controlnet_inputs"


@dataclass
class ControlNetInput:
    """What one ControlNet is given.

    Attributes:
        controlnet_id: which of those that were loaded, counted from 0 in the order of `model_configs`.
        scale: of what it changes.
        start, end: where in the generation it begins and ends: 1 is the first step, 0 the last.
        image: the picture to follow, of the size that is made.
        inpaint_mask: white where that is to be made anew, for a ControlNet of inpainting.
        inpaint_image, processor_id: of DiffSynth-Studio; nothing reads them.
    """

    controlnet_id: int = 0
    scale: float = 1.0
    start: float = 1.0
    end: float = 0.0
    image: Image.Image | None = None
    inpaint_image: Image.Image | None = None
    inpaint_mask: Image.Image | None = None
    processor_id: str | None = None


class BlockwiseControl:
    """`blockwise_controlnet_inputs`: what the picture is to follow."""

    def check(self, call: Call[QwenImagePipeline]) -> None:
        for number, given in enumerate(_inputs(call)):
            where = f"{KEYWORD}, input {number}"
            if not isinstance(given, ControlNetInput):
                raise ValueError(f"{where} is a {type(given).__name__}: expected a ControlNetInput")
            for name in ("scale", "start", "end"):
                check_number(f"{where}: {name}", getattr(given, name))
            if given.start < given.end:
                raise ValueError(
                    f"{where}: start={given.start:g} and end={given.end:g} leave no step: 1 is the first, 0 the last"
                )
            check_whole(f"{where}: controlnet_id", given.controlnet_id, least=0)
            check_picture(f"{where}: image", given.image)
            check_size(f"{where}: image", given.image, call.height, call.width)
            if given.inpaint_mask is not None:
                check_picture(f"{where}: inpaint_mask", given.inpaint_mask)
            if call.pipe.dit is not None:  # as it is where a data set is encoded for a training
                takes_mask = _network(call, given, where).channels > LATENT_CHANNELS
                if takes_mask and given.inpaint_mask is None:
                    raise ValueError(f"{where}: its ControlNet, of inpainting, takes an inpaint_mask; none was given")
                if given.inpaint_mask is not None and not takes_mask:
                    raise ValueError(f"{where}: its ControlNet takes no inpaint_mask; leave it out")
            call.needs("vae")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution | None:
        inputs = _inputs(call)
        if not inputs:
            return None
        controls = [
            Control(_network(call, given, KEYWORD), conditioning(call, given), given.scale, given.start, given.end)
            for given in inputs
        ]
        used = tuple(dict.fromkeys(CONTROLNETS[given.controlnet_id] for given in inputs))
        return Contribution(inputs={"controls": Controls(controls)}, with_network={"dit": used})


def _inputs(call: Call[QwenImagePipeline]) -> list[ControlNetInput]:
    inputs = call.asked[KEYWORD]
    if inputs is not None and not isinstance(inputs, (list, tuple)):
        raise ValueError(f"{KEYWORD} is a {type(inputs).__name__}: expected a list of ControlNetInput")
    return list(inputs or ())


def _network(call: Call[QwenImagePipeline], given: ControlNetInput, where: str) -> QwenImageBlockWiseControlNet:
    """The one that is asked for, which has to go with the DiT."""
    call.needs(CONTROLNETS[0])
    there: list[QwenImageBlockWiseControlNet]
    there = [loaded for name in CONTROLNETS if (loaded := getattr(call.pipe, name)) is not None]
    if given.controlnet_id not in range(len(there)):
        raise ValueError(
            f"{where}: controlnet_id={given.controlnet_id!r}, and {len(there)} ControlNet"
            f"{' was' if len(there) == 1 else 's were'} loaded, counted from 0"
        )
    network = unwrapped(there[given.controlnet_id])
    assert call.pipe.dit is not None  # the call has asked for it
    dit = unwrapped(call.pipe.dit)
    of_dit = len(dit.blocks), dit.img_in.out_features
    if (len(network.blocks), network.img_in.out_features) != of_dit:
        raise ValueError(
            f"{where}: a ControlNet of {len(network.blocks)} blocks, {network.img_in.out_features} wide, does not go "
            f"with a dit of {of_dit[0]}, {of_dit[1]} wide"
        )
    return network


def conditioning(call: Call[QwenImagePipeline], given: ControlNetInput) -> Tensor:
    """Latents of the picture; and of a mask, 0 in the cells to make anew and 1 elsewhere."""
    assert given.image is not None  # `check` has seen it
    picture, mask = given.image.convert("RGB"), given.inpaint_mask
    if mask is not None:
        picture = ImageChops.composite(Image.new("RGB", picture.size), picture, _white(mask.resize(picture.size)))
    latents: Tensor = call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles)
    if mask is None:
        return latents
    pixels = video_from_frames([mask], height=mask.height, width=mask.width, num_frames=1)[:, :, 0]
    anew = ((pixels + 1) / 2).mean(dim=1, keepdim=True)
    return torch.cat([latents, 1 - F.interpolate(anew, size=latents.shape[2:]).to(latents)], dim=1)


def _white(mask: Image.Image) -> Image.Image:
    """The pixels above the middle of the range, by the mean of their colours."""
    pixels = np.asarray(mask.convert("RGB"), dtype=np.float32).mean(axis=2) > 127.5
    return Image.fromarray(pixels.astype(np.uint8) * 255)
