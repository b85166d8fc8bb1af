from diffsynth.pipelines.z_image import ZImagePipeline, ModelConfig
from PIL import Image, ImageOps
import torch

pipe = ZImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="transformer/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="text_encoder/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="tokenizer/"),
)

# A picture to start from: the lower the strength, the more of it stays.
image = ImageOps.fit(Image.open("data/examples/z_image/image1.jpg").convert("RGB"), (1024, 1024))
image = pipe(
    prompt="清晨的江南水乡，雪后初晴，屋檐挂着冰凌，一位撑着蓝色油纸伞的女子缓步走过石桥。",
    input_image=image, denoising_strength=0.6,
    seed=0, rand_device="npu",
)
image.save("image_Z-Image-Turbo-I2I.jpg")
