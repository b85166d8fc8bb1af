import torch
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig
from diffsynth.core.device.npu_compatible_device import get_device_name

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
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
    vram_limit=torch.npu.mem_get_info(get_device_name())[1] / (1024 ** 3) - 0.5,
)
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Distill-LoRA", origin_file_pattern="model.safetensors"))

# In so few steps and without guidance, as it was distilled for.
image = pipe(
    prompt="雪后的山间小站，一列绿色的老火车冒着白汽，站牌上写着“云岭”。",
    cfg_scale=1,
    num_inference_steps=4,
    seed=0,
)
image.save("image_Qwen-Image-Distill-LoRA.jpg")
