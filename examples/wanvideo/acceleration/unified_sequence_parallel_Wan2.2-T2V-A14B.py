# Run on 8 devices of this machine: torchrun --standalone --nproc_per_node 8 examples/wanvideo/acceleration/unified_sequence_parallel_Wan2.2-T2V-A14B.py
import torch
from diffsynth.utils.data import save_video
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig

# The order of the two DiTs matters: high noise first, then low noise.
pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    use_usp=True,
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="high_noise_model/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="low_noise_model/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.2-T2V-A14B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)

video = pipe(
    prompt="夜晚的老城小巷，雨水从青瓦屋檐滴落，石板路映出灯笼的暖光。一位撑着油纸伞的女子从画面深处缓步走来，镜头低机位缓慢推进。",
    negative_prompt="画面静止，细节模糊，过曝，字幕，水印，低质量，多余的手指",
    num_inference_steps=40,
    switch_DiT_boundary=0.875,
    seed=0, tiled=True,
)
save_video(video, "video_unified_sequence_parallel_Wan2.2-T2V-A14B.mp4", fps=15, quality=5)
