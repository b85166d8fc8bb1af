import torch
from diffsynth.pipelines.qwen_image import ModelConfig, QwenImagePipeline
from PIL import Image

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(
            model_id="Qwen/Qwen-Image-Edit", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"
        ),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=None,
    processor_config=ModelConfig(model_id="Qwen/Qwen-Image-Edit", origin_file_pattern="processor/"),
)
picture = Image.open("street.jpg").resize((1024, 1024))
image = pipe(
    "Make the door red.", edit_image=picture, seed=1, num_inference_steps=40, height=1024, width=1024
)
image.save("red_door.jpg")
