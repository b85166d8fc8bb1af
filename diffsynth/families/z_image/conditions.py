"""What pictures contribute to a generation of Z-Image."""

from __future__ import annotations

from diffsynth.diffusion.conditions import Condition
from diffsynth.diffusion.picture_pipeline import PicturePipeline
from diffsynth.families.qwen_image.conditions import InputImage

CONDITIONS: tuple[Condition[PicturePipeline], ...] = (InputImage(),)
