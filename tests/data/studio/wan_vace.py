import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from diffsynth.utils.data import VideoData, save_video
from PIL import Image

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.1-VACE-1.3B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-VACE-1.3B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-VACE-1.3B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
)

control = VideoData("data/depth.mp4", height=480, width=832)
video = pipe(
    prompt="Two cats in boxing gloves, under the lamps of a stage.",
    negative_prompt="still",
    vace_video=control,
    seed=1,
    tiled=True,
)
save_video(video, "from_depth.mp4", fps=15, quality=5)

reference = Image.open("data/cat.jpg").resize((832, 480))
video = pipe(
    prompt="Two cats in boxing gloves, under the lamps of a stage.",
    negative_prompt="still",
    vace_reference_image=reference,
    seed=1,
    tiled=True,
)
save_video(video, "from_reference.mp4", fps=15, quality=5)
