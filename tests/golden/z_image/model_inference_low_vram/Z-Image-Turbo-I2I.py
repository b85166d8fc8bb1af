from diffsynth.pipelines.z_image import ZImagePipeline, ModelConfig
from diffsynth.core.device.npu_compatible_device import get_device_name
from PIL import Image, ImageOps
import torch

vram_config = {
    "offload_dtype": torch.bfloat16,
    "offload_device": "cpu",
    "onload_dtype": torch.bfloat16,
    "onload_device": "cpu",
    "preparing_dtype": torch.bfloat16,
    "preparing_device": "npu",
    "computation_dtype": torch.bfloat16,
    "computation_device": "npu",
}
pipe = ZImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="transformer/*.safetensors", **vram_config),
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="text_encoder/*.safetensors", **vram_config),
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="vae/diffusion_pytorch_model.safetensors", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="tokenizer/"),
    vram_limit=torch.npu.mem_get_info(get_device_name())[1] / (1024 ** 3) - 0.5,
)

# A picture to start from: the lower the strength, the more of it stays.
image = ImageOps.fit(Image.open("data/examples/z_image/image1.jpg").convert("RGB"), (1024, 1024))
image = pipe(
    prompt="清晨的江南水乡，雪后初晴，屋檐挂着冰凌，一位撑着蓝色油纸伞的女子缓步走过石桥。",
    input_image=image, denoising_strength=0.6,
    seed=0,
)
image.save("image_Z-Image-Turbo-I2I.jpg")
