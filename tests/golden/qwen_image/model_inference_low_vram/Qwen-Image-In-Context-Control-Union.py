import torch
from PIL import Image
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
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-In-Context-Control-Union", origin_file_pattern="model.safetensors"))

# Put a picture of your own here: edges, depths, a pose, lines, soft edges or normals to follow.
context_image = Image.open("data/examples/qwen_image/depth_image.jpg").convert("RGB").resize((1024, 1024))

image = pipe(
    prompt="Context_Control. A dancer in a pale blue dress turns under a sky full of stars, fine detail, soft light.",
    negative_prompt="blurry, low quality, grid pattern, deformed hands",
    context_image=context_image,
    height=1024, width=1024,
    seed=1,
)
image.save("image_Qwen-Image-In-Context-Control-Union.jpg")
