import torch
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video, VideoData

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="google/umt5-xxl/"),
)

# Put a clip of your own here: at least 81 frames, any resolution (each frame is cropped and resized).
input_video = VideoData("data/examples/wan/video1.mp4", height=720, width=1280)
input_video.set_length(81)

video = pipe(
    prompt="The same street at dusk after heavy snow: lamps glow warm, footprints fill slowly, flakes drift past the lens.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    input_video=input_video, denoising_strength=0.8,
    height=720, width=1280, num_frames=81,
    seed=7, tiled=True,
)
save_video(video, "video_Wan2.1-T2V-14B-V2V.mp4", fps=15, quality=5)
