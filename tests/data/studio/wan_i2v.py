import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from diffsynth.utils.data import save_video
from PIL import Image

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.1-I2V-14B-480P", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-I2V-14B-480P", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-I2V-14B-480P", origin_file_pattern="Wan2.1_VAE.pth"),
        ModelConfig(
            model_id="Wan-AI/Wan2.1-I2V-14B-480P",
            origin_file_pattern="models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
        ),
    ],
)

image = Image.open("data/harbour.jpg").convert("RGB").resize((832, 480))
video = pipe(
    prompt="The boats in the harbour rock in the evening light.",
    negative_prompt="still",
    input_image=image,
    seed=0,
    tiled=True,
)
save_video(video, "harbour.mp4", fps=15, quality=5)
