import torch
from diffsynth.core import load_state_dict
from diffsynth.utils.data import save_video
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig

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
pipe.dit.load_state_dict(load_state_dict("models/train/Wan2.1-T2V-14B_full/epoch-1.safetensors"))

video = pipe(
    prompt="A blue kite climbs above a wide beach, dips once in the wind and rises again, its long tail drawing slow waves in the sky.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    height=480, width=832, num_frames=49,
    seed=1, tiled=True,
)
save_video(video, "video_Wan2.1-T2V-14B_full.mp4", fps=15, quality=5)
