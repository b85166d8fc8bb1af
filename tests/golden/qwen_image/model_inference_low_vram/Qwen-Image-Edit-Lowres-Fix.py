from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig
from diffsynth.core.device.npu_compatible_device import get_device_name
import torch

vram_config = {
    "offload_dtype": "disk",
    "offload_device": "disk",
    "onload_dtype": torch.float8_e4m3fn,
    "onload_device": "cpu",
    "preparing_dtype": torch.float8_e4m3fn,
    "preparing_device": "npu",
    "computation_dtype": torch.bfloat16,
    "computation_device": "npu",
}
pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image-Edit", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors", **vram_config),
    ],
    processor_config=ModelConfig(model_id="Qwen/Qwen-Image-Edit", origin_file_pattern="processor/"),
    vram_limit=torch.npu.mem_get_info(get_device_name())[1] / (1024 ** 3) - 0.5,
)
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Edit-Lowres-Fix", origin_file_pattern="model.safetensors"))

# Put a small picture of your own here: it is seen as it is, its sides multiples of 16.
edit_image = Image.open("data/examples/qwen_image/image1.jpg").convert("RGB").resize((384, 512))

image = pipe(
    prompt="Replace the sky by a clear night with stars, and light the windows.",
    negative_prompt="blurry, low quality, watermark",
    edit_image=edit_image,
    edit_image_auto_resize=False, edit_rope_interpolation=True,
    height=1024, width=768,
    num_inference_steps=40,
    seed=1,
)
image.save("image_Qwen-Image-Edit-Lowres-Fix.jpg")
