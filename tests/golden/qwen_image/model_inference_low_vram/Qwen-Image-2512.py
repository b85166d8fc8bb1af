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
        ModelConfig(model_id="Qwen/Qwen-Image-2512", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
    vram_limit=torch.npu.mem_get_info(get_device_name())[1] / (1024 ** 3) - 0.5,
)

image = pipe(
    prompt="一间临街的旧书店，橱窗里堆满泛黄的书，木招牌上写着“慢读”二字，午后的阳光斜照在门口的自行车上。",
    negative_prompt="模糊，低质量，文字错误",
    num_inference_steps=40,
    seed=0,
)
image.save("image_Qwen-Image-2512.jpg")
