import torch
from diffsynth.utils.data import save_video, VideoData
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)

# Put a clip of your own here: at least 81 frames, any resolution (each frame is cropped and resized).
input_video = VideoData("data/examples/wan/video1.mp4", height=480, width=832)
input_video.set_length(81)

# For the same seed, noise drawn on the device differs from noise drawn on the CPU (the default).
video = pipe(
    prompt="A paper boat floats down a narrow stream in the rain, painted in soft watercolour.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality, deformed",
    input_video=input_video, denoising_strength=0.7,
    num_frames=81,
    seed=1, rand_device="cuda", tiled=True,
)
save_video(video, "video_Wan2.1-T2V-1.3B-V2V.mp4", fps=15, quality=5)
