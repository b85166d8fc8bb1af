"""Stable Diffusion XL from one file, as finetuned checkpoints are published."""

import torch
from diffusers import StableDiffusionXLPipeline

pipeline = StableDiffusionXLPipeline.from_single_file(
    "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/sd_xl_base_1.0.safetensors",
    torch_dtype=torch.float16,
    variant="fp16",
)
pipeline.to("cuda")
image = pipeline("a red fox in the snow", num_inference_steps=25, generator=torch.Generator("cuda").manual_seed(0)).images[0]
image.save("fox.png")
