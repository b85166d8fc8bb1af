import torch
from diffsynth.core import load_state_dict
from diffsynth.pipelines.z_image import ZImagePipeline, ModelConfig

pipe = ZImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="transformer/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="text_encoder/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="tokenizer/"),
)
pipe.dit.load_state_dict(load_state_dict("models/train/Z-Image_full/epoch-1.safetensors"))

prompt = "A red circle over a black background."
image = pipe(prompt, seed=0, cfg_scale=4, num_inference_steps=50, height=480, width=832)
image.save("image_Z-Image_full.png")
