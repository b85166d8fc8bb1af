import torch
from diffusers import AutoPipelineForText2Image, LCMScheduler

pipeline = AutoPipelineForText2Image.from_pretrained(
    "stabilityai/stable-diffusion-xl-base-1.0", variant="fp16", torch_dtype=torch.float16
).to("cuda")
pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
pipeline.load_lora_weights("latent-consistency/lcm-lora-sdxl", adapter_name="lcm")
pipeline.load_lora_weights("nerijs/pixel-art-xl", weight_name="pixel-art-xl.safetensors", adapter_name="pixel")
pipeline.set_adapters(["lcm", "pixel"], adapter_weights=[1.0, 1.2])

generator = torch.Generator(device="cuda").manual_seed(0)
image = pipeline(
    "pixel art, a cute corgi, simple, flat colors",
    num_inference_steps=8,
    guidance_scale=1.5,
    generator=generator,
).images[0]
image.save("corgi.png")
