import torch
from PIL import Image
from diffsynth.core import load_state_dict
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image-Layered", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image-Layered", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)
pipe.dit.load_state_dict(load_state_dict("models/train/Qwen-Image-Layered_full/epoch-1.safetensors"))

prompt = "A red circle over a black background."
input_image = Image.open("data/example_image_dataset/image_0.png").convert("RGBA").resize((832, 480))
images = pipe(
    prompt, layer_input_image=input_image, layer_num=2,
    seed=0, num_inference_steps=40, height=480, width=832,
)
for number, image in enumerate(images):
    image.save(f"image_Qwen-Image-Layered_full_{number}.png")
