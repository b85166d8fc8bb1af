import torch
from PIL import Image
from diffsynth.core import load_state_dict
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.2-I2V-A14B", origin_file_pattern="high_noise_model/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.2-I2V-A14B", origin_file_pattern="low_noise_model/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.2-I2V-A14B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.2-I2V-A14B", origin_file_pattern="Wan2.1_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)
pipe.dit.load_state_dict(load_state_dict("models/train/Wan2.2-I2V-A14B_high_noise_full/epoch-1.safetensors"))
pipe.dit2.load_state_dict(load_state_dict("models/train/Wan2.2-I2V-A14B_low_noise_full/epoch-1.safetensors"))

# Put a picture of your own here: it is the first frame.
image = Image.open("data/examples/wan/input_image.jpg").convert("RGB")

video = pipe(
    prompt="The tram pulls away from the stop, its windows mirror the wet street, and people open their umbrellas.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    input_image=image,
    height=480, width=832, num_frames=81,
    switch_DiT_boundary=0.9,
    seed=1, tiled=True,
)
save_video(video, "video_Wan2.2-I2V-A14B_full.mp4", fps=15, quality=5)
