"""FLUX with its transformer from one file."""

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel

transformer = FluxTransformer2DModel.from_single_file(
    "https://huggingface.co/Kijai/flux-fp8/blob/main/flux1-dev-fp8.safetensors", torch_dtype=torch.bfloat16
)
pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", transformer=transformer, torch_dtype=torch.bfloat16)
pipe.to("cuda")
image = pipe("a cat holding a sign", num_inference_steps=20, generator=torch.Generator("cuda").manual_seed(0)).images[0]
image.save("cat.png")
