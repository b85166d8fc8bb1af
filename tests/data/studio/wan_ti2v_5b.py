import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from diffsynth.utils.data import save_video
from PIL import Image

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.2-TI2V-5B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.2-TI2V-5B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.2-TI2V-5B", origin_file_pattern="Wan2.2_VAE.pth"),
    ],
)

image = Image.open("data/cat.jpg").resize((1248, 704))
video = pipe(
    prompt="The cat looks up and yawns.",
    negative_prompt="still",
    seed=0,
    tiled=True,
    height=704,
    width=1248,
    input_image=image,
    num_frames=121,
)
save_video(video, "yawn.mp4", fps=15, quality=5)
