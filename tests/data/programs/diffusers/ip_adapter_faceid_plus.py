"""Stable Diffusion with a face for a prompt, by the numbers that a program for faces has found, and by a picture."""

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import load_image

pipeline = StableDiffusionPipeline.from_pretrained(
    "stable-diffusion-v1-5/stable-diffusion-v1-5", torch_dtype=torch.float16
).to("cuda")
pipeline.load_ip_adapter(
    "h94/IP-Adapter-FaceID",
    subfolder=None,
    weight_name="ip-adapter-faceid-plusv2_sd15.bin",
    image_encoder_folder="models/image_encoder",
)
pipeline.set_ip_adapter_scale(0.6)
face = torch.randn(1, 1, 512, generator=torch.Generator().manual_seed(4))
embeds = torch.cat([torch.zeros_like(face), face]).to("cuda", torch.float16)
pictures = pipeline.prepare_ip_adapter_image_embeds([load_image("https://example.com/face.png")], None, torch.device("cuda"), 1, True)
projection = pipeline.unet.encoder_hid_proj.image_projection_layers[0]
projection.clip_embeds = pictures[0].to(dtype=torch.float16)
projection.shortcut = False  # True for plus of version 2
generator = torch.Generator(device="cuda").manual_seed(42)
image = pipeline(
    prompt="a sailor in a storm",
    ip_adapter_image_embeds=[embeds],
    negative_prompt="monochrome, lowres",
    num_inference_steps=20,
    generator=generator,
).images[0]
image.save("sailor.png")
