import torch
from PIL import Image
from diffsynth.core import load_state_dict
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
pipe.dit.load_state_dict(load_state_dict("models/train/Qwen-Image-Edit-2511_full/epoch-1.safetensors"))

prompt = "Put the red circle of Picture 1 where the green square of Picture 2 is."
edit_image = [
    Image.open("data/example_image_dataset/edit_0_1.png").convert("RGB"),
    Image.open("data/example_image_dataset/edit_0_2.png").convert("RGB"),
]
image = pipe(prompt, edit_image=edit_image, zero_cond_t=True, seed=0, num_inference_steps=40, height=480, width=832)
image.save("image_Qwen-Image-Edit-2511_full.png")
