# Run on 8 devices of this machine: torchrun --standalone --nproc_per_node 8 examples/wanvideo/acceleration/unified_sequence_parallel.py
import torch
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    use_usp=True,
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="google/umt5-xxl/"),
)

video = pipe(
    prompt="A potter shapes a tall clay vase on a spinning wheel in a sunlit workshop. Dust drifts through the light, wet clay glistens under the hands, and the camera moves in slowly.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality, deformed hands",
    height=720, width=1280, num_frames=81,
    seed=42, tiled=True,
)
save_video(video, "video_unified_sequence_parallel.mp4", fps=15, quality=5)
