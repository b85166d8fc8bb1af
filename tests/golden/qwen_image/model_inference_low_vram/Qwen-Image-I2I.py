import torch
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig
from diffsynth.core.device.npu_compatible_device import get_device_name
from PIL import Image, ImageOps

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

# Put a picture of your own here: any size, it is cropped to the shape of the result.
input_image = Image.open("data/examples/qwen_image/image1.jpg").convert("RGB")
input_image = ImageOps.fit(input_image, (1328, 1328))

image = pipe(
    prompt="The same scene as a linocut print in two colours, deep blue on cream paper.",
    negative_prompt="blurry, low quality, watermark",
    input_image=input_image, denoising_strength=0.75,
    height=1328, width=1328,
    num_inference_steps=40,
    seed=123, rand_device="npu",
    tiled=True,
)
image.save("image_Qwen-Image-I2I.jpg")
