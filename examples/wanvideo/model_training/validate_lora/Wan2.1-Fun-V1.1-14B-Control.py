import torch
from PIL import Image
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video, VideoData

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-14B-Control", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-14B-Control", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-14B-Control", origin_file_pattern="Wan2.1_VAE.pth"),
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-14B-Control", origin_file_pattern="models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)
pipe.load_lora(pipe.dit, "models/train/Wan2.1-Fun-V1.1-14B-Control_lora/epoch-4.safetensors", alpha=1)

# Put a clip of your own here, of at least 81 frames: edges, depths or poses to follow.
control_video = VideoData("data/examples/wan/control_video.mp4", height=480, width=832)
control_video.set_length(81)
# Put a picture of your own here: who or what is to be seen.
reference = Image.open("data/examples/wan/reference_image.png").convert("RGB")

video = pipe(
    prompt="The person of the picture practises tai chi in a courtyard at dawn.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    control_video=control_video, reference_image=reference,
    height=480, width=832, num_frames=81,
    seed=1, tiled=True,
)
save_video(video, "video_Wan2.1-Fun-V1.1-14B-Control_lora.mp4", fps=15, quality=5)
