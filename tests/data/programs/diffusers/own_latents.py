"""Stable Diffusion from noise that the program draws itself, once for two pictures."""

import torch
from diffusers import StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5", torch_dtype=torch.float16)
pipe = pipe.to("cuda")
generator = torch.Generator("cpu").manual_seed(7)
latents = torch.randn((1, pipe.unet.config.in_channels, 64, 64), generator=generator).to("cuda", torch.float16)
for style in ("oil painting", "pencil drawing"):
    image = pipe(f"a lighthouse, {style}", height=512, width=512, latents=latents, num_inference_steps=30).images[0]
    image.save(f"{style.replace(' ', '_')}.png")
