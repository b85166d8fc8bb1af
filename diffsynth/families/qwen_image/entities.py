"""EliGen: a prompt for each entity, and a mask of where it is to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffsynth.diffusion.conditions import Call, Contribution
from diffsynth.diffusion.guidance import NEGATIVE, POSITIVE
from diffsynth.diffusion.picture_pipeline import LATENT_PIXELS
from diffsynth.models.qwen_image_entities import Entities
from diffsynth.utils.frames import check_picture

if TYPE_CHECKING:
    from diffsynth.pipelines.qwen_image import QwenImagePipeline

PROMPTS, MASKS = "eligen_entity_prompts", "eligen_entity_masks"


class EntityControl:
    """`eligen_entity_prompts`, `eligen_entity_masks` and `eligen_enable_on_negative`."""

    def check(self, call: Call[QwenImagePipeline]) -> None:
        prompts, masks = call.asked[PROMPTS], call.asked[MASKS]
        if not prompts and not masks:
            return
        for name, value in ((PROMPTS, prompts), (MASKS, masks)):
            if not isinstance(value, (list, tuple)):
                raise ValueError(f"{name} is a {type(value).__name__}: expected a list, one for each entity")
        if len(prompts) != len(masks):
            raise ValueError(f"{len(prompts)} {PROMPTS} and {len(masks)} {MASKS}: expected one mask for each prompt")
        for number, (prompt, mask) in enumerate(zip(prompts, masks, strict=True)):
            if not isinstance(prompt, str):
                raise ValueError(f"prompt {number} of {PROMPTS} is a {type(prompt).__name__}: expected a string")
            check_picture(f"mask {number} of {MASKS}", mask)
        call.needs("text_encoder")
        mesh = call.pipe.mesh
        if mesh is not None and mesh.ring.size > 1:
            raise ValueError(f"{PROMPTS}: a ring has no masks in its attention; give from_pretrained ring_degree=1")

    def prepare(self, call: Call[QwenImagePipeline]) -> Contribution | None:
        prompts, masks = call.asked[PROMPTS], call.asked[MASKS]
        if not prompts:
            return None
        areas = areas_of(masks, call.height, call.width)
        entities = Entities(areas, tuple(call.pipe.encode_prompts(dict(enumerate(prompts))).values()))
        of_branch = {POSITIVE: {"entities": entities}}
        if call.asked["eligen_enable_on_negative"]:
            of_branch[NEGATIVE] = {"entities": Entities(areas)}
        return Contribution(of_branch=of_branch)


def areas_of(masks: Sequence[Image.Image], height: int, width: int) -> Tensor:
    """The latent cells that are white in each mask, (1, masks, height / 8, width / 8), bool, on the host."""
    size = (width // LATENT_PIXELS, height // LATENT_PIXELS)
    cells = [np.asarray(mask.convert("RGB").resize(size, Image.Resampling.NEAREST), np.float32) for mask in masks]
    return torch.from_numpy(np.stack(cells).mean(axis=3) > 127.5).unsqueeze(0)
