import torch
from diffsynth.pipelines.ltx2_audio_video import LTX2AudioVideoPipeline, ModelConfig
from diffsynth.utils.data.media_io_ltx2 import write_video_audio_ltx2

vram_config = {
    "offload_dtype": torch.bfloat16,
    "offload_device": "cpu",
    "onload_dtype": torch.bfloat16,
    "onload_device": "cuda",
    "preparing_dtype": torch.bfloat16,
    "preparing_device": "cuda",
    "computation_dtype": torch.bfloat16,
    "computation_device": "cuda",
}
gemma = "google/gemma-3-12b-it-qat-q4_0-unquantized"
pipe = LTX2AudioVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id=gemma, origin_file_pattern="model-*.safetensors", **vram_config),
        ModelConfig(model_id="Lightricks/LTX-2", origin_file_pattern="ltx-2-19b-dev.safetensors", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id=gemma),
)
video, audio = pipe(
    prompt="A girl laughs and says: look, it is snowing.",
    negative_prompt="blurry, noise",
    seed=43,
    height=512,
    width=768,
    num_frames=121,
    tiled=True,
)
write_video_audio_ltx2(video=video, audio=audio, output_path="snow.mp4", fps=24, audio_sample_rate=24000)
