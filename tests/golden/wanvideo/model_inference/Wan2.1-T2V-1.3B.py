import torch
from diffsynth.utils.data import save_video
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)

video = pipe(
    prompt="清晨的港口，一艘红色的小渔船缓缓驶出薄雾，船头划开平静的水面，海鸥在桅杆旁盘旋。远处的灯塔仍亮着微光，镜头从码头平稳地跟随渔船移动。",
    negative_prompt="画面静止，细节模糊，过曝，字幕，水印，低质量，变形的物体",
    seed=0, tiled=True,
)
save_video(video, "video_Wan2.1-T2V-1.3B.mp4", fps=15, quality=5)
