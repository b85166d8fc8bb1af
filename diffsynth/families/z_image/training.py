"""How Z-Image is trained: on pictures with prompts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, ClassVar

from diffsynth.diffusion.training.adapter import PictureAdapter
from diffsynth.diffusion.training.arguments import Flag
from diffsynth.diffusion.training.runner import Inputs, Sample

if TYPE_CHECKING:
    from diffsynth.pipelines.z_image import ZImagePipeline


class ZImageTraining(PictureAdapter["ZImagePipeline"]):
    """A picture as latents, its prompt as features, and the network's call on both."""

    flags = (Flag("--enable_npu_patch", action="store_true", help="On an Ascend NPU: its fused operators."),)
    defaults: ClassVar = {"validation_inference_steps": 8}

    def __init__(self, pipe: ZImagePipeline, args: argparse.Namespace) -> None:
        super().__init__(pipe, args)
        pipe.enable_npu_patch(args.enable_npu_patch)

    def encode(self, sample: Sample, cfg_scale: float = 1.0) -> Inputs:
        texts = self.texts(sample, cfg_scale)
        return {"latents": self.pipe.encode_picture(sample["image"][0], progress_bar_cmd=iter), **texts}
