import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image-Edit-2511", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    processor_config=ModelConfig(model_id="Qwen/Qwen-Image-Edit", origin_file_pattern="processor/"),
)

# One picture in a list, or several; the prompt may call them by their numbers.
image_1 = Image.open("data/examples/qwen_image/image1.jpg").convert("RGB")
image_2 = Image.open("data/examples/qwen_image/image2.jpg").convert("RGB")

image = pipe(
    prompt="The person of Picture 1 stands in the street of Picture 2, in the same evening light.",
    negative_prompt="blurry, low quality, watermark",
    edit_image=[image_1, image_2], zero_cond_t=True,
    height=1152, width=896,
    num_inference_steps=40,
    seed=1, rand_device="cuda",
)
image.save("image_Qwen-Image-Edit-2511.jpg")
