import torch
from PIL import Image
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video, VideoData

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.1-VACE-14B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.1-VACE-14B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.1-VACE-14B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)
pipe.load_lora(pipe.vace, "models/train/Wan2.1-VACE-14B_lora/epoch-4.safetensors", alpha=1)

# Put a clip of your own here, of at least 81 frames: edges, depths or poses to follow.
video_to_follow = VideoData("data/examples/wan/depth_video.mp4", height=480, width=832)
video_to_follow.set_length(81)
# Put a picture of your own here: who or what is to be seen.
reference = Image.open("data/examples/wan/reference_image.png").convert("RGB").resize((832, 480))

video = pipe(
    prompt="A cyclist rolls down a street lined with plane trees, light and shadow passing over her jacket.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    vace_video=video_to_follow, vace_reference_image=reference,
    height=480, width=832, num_frames=81,
    seed=1, tiled=True,
)
save_video(video, "video_Wan2.1-VACE-14B_lora.mp4", fps=15, quality=5)
