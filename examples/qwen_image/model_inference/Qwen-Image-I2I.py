from PIL import Image, ImageOps
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig
import torch

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
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
    seed=123,
)
image.save("image_Qwen-Image-I2I.jpg")
