from diffsynth.utils.data import save_video, VideoData
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
import torch

vram_config = {
    "offload_dtype": "disk",
    "offload_device": "disk",
    "onload_dtype": torch.bfloat16,
    "onload_device": "cpu",
    "preparing_dtype": torch.bfloat16,
    "preparing_device": "cuda",
    "computation_dtype": torch.bfloat16,
    "computation_device": "cuda",
}
# The order of the two DiTs matters: high noise first, then low noise.
pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="high_noise_model/diffusion_pytorch_model*.safetensors", **vram_config),
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="low_noise_model/diffusion_pytorch_model*.safetensors", **vram_config),
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth", **vram_config),
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="Wan2.1_VAE.pth", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 2,
)

# Put a clip of your own here: at least 81 frames, any resolution (each frame is cropped and resized).
input_video = VideoData("data/examples/wan/video1.mp4", height=480, width=832)
input_video.set_length(81)

# With denoising_strength below 0.58 every step lies under the boundary and the high noise DiT is not used.
video = pipe(
    prompt="A hand-drawn animation of the same scene, with clean ink lines and flat, muted colours.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    input_video=input_video, denoising_strength=0.8,
    num_frames=81, num_inference_steps=40,
    seed=1, tiled=True,
)
save_video(video, "video_Wan2.2-T2V-A14B-V2V.mp4", fps=15, quality=5)
