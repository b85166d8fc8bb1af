import torch
from PIL import Image
from diffsynth.core import load_state_dict
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
from diffsynth.utils.data import save_video

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-1.3B-InP", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-1.3B-InP", origin_file_pattern="models_t5_umt5-xxl-enc-bf16.pth"),
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-1.3B-InP", origin_file_pattern="Wan2.1_VAE.pth"),
        ModelConfig(model_id="PAI/Wan2.1-Fun-V1.1-1.3B-InP", origin_file_pattern="models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"),
    ],
    tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"),
)
pipe.dit.load_state_dict(load_state_dict("models/train/Wan2.1-Fun-V1.1-1.3B-InP_full/epoch-1.safetensors"))

# Put pictures of your own here: the first frame and the last.
first = Image.open("data/examples/wan/first_frame.jpg").convert("RGB")
last = Image.open("data/examples/wan/last_frame.jpg").convert("RGB")

video = pipe(
    prompt="The candle burns down, wax runs along its side, and the room grows dim.",
    negative_prompt="static, blurry, overexposed, subtitles, watermark, low quality",
    input_image=first, end_image=last,
    height=480, width=832, num_frames=81,
    seed=1, tiled=True,
)
save_video(video, "video_Wan2.1-Fun-V1.1-1.3B-InP_full.mp4", fps=15, quality=5)
