import torch
from PIL import Image
from diffsynth.core import load_state_dict
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Layered-Control", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image-Layered", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)
pipe.dit.load_state_dict(load_state_dict("models/train/Qwen-Image-Layered-Control_full/epoch-1.safetensors"))

prompt = "red circle"
input_image = Image.open("data/example_image_dataset/image_0.png").convert("RGBA").resize((832, 480))
images = pipe(
    prompt, layer_input_image=input_image, layer_num=0,
    seed=0, num_inference_steps=40, height=480, width=832,
)
images[0].save("image_Qwen-Image-Layered-Control_full.png")
