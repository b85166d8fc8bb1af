import torch
from diffsynth.core import load_state_dict
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="krea/krea-realtime-video", origin_file_pattern="krea-realtime-video-14b.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)
pipe.dit.load_state_dict(load_state_dict("models/train/krea-realtime-video_full/epoch-1.safetensors"))

video = pipe(
    prompt="A street sweeper works his way down an avenue of golden ginkgo trees.",
    height=480, width=832, num_frames=81,
    num_inference_steps=6, cfg_scale=1, sigma_shift=10,
    seed=1, tiled=True,
)
save_video(video, "video_krea-realtime-video_full.mp4", fps=15, quality=5)
