import torch
from PIL import Image
from diffsynth.core import load_state_dict
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Wan-AI/Wan2.2-TI2V-5B", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Wan-AI/Wan2.2-TI2V-5B", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="Wan-AI/Wan2.2-TI2V-5B", origin_file_pattern="Wan2.2_VAE.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)
pipe.dit.load_state_dict(load_state_dict("models/train/Wan2.2-TI2V-5B_full/epoch-1.safetensors"))

# Put a picture of your own here: it is the first frame.
image = Image.open("data/examples/wan/input_image.jpg").convert("RGB")

video = pipe(
    prompt="A paper lantern sways above the stall, and steam drifts past it from the pots below.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    input_image=image,
    height=704, width=1248, num_frames=121,
    seed=1, tiled=True,
)
save_video(video, "video_Wan2.2-TI2V-5B_full.mp4", fps=24, quality=5)
