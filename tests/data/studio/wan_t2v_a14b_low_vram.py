import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from diffsynth.utils.data import save_video

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
model_id = "Wan-AI/Wan2.2-T2V-A14B"
pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id=model_id, origin_file_pattern=pattern, **vram_config)
        for pattern in (
            "high_noise_model/diffusion_pytorch_model*.safetensors",
            "low_noise_model/diffusion_pytorch_model*.safetensors",
            "models_t5_umt5-xxl-enc-bf16.pth",
            "Wan2.1_VAE.pth",
        )
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024**3) - 2,
)
video = pipe(
    prompt="Two cats in boxing gloves, under the lamps of a stage.",
    negative_prompt="still, overexposed",
    seed=0,
    tiled=True,
)
save_video(video, "cats.mp4", fps=15, quality=5)
