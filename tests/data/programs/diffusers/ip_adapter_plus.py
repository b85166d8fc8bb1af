"""Stable Diffusion with a picture for a prompt, by an IP-Adapter that looks at every patch of it."""

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import load_image

pipeline = StableDiffusionPipeline.from_pretrained(
    "stable-diffusion-v1-5/stable-diffusion-v1-5", torch_dtype=torch.float16
).to("cuda")
pipeline.load_ip_adapter("h94/IP-Adapter", subfolder="models", weight_name="ip-adapter-plus_sd15.safetensors")
pipeline.set_ip_adapter_scale(0.6)
generator = torch.Generator(device="cuda").manual_seed(26)
image = pipeline(
    prompt="a bear in a forest, photograph",
    ip_adapter_image=load_image("https://example.com/bear.png"),
    negative_prompt="lowres, blurry",
    num_inference_steps=50,
    generator=generator,
).images[0]
image.save("bear_in_forest.png")
