import torch
from diffsynth.pipelines.stable_diffusion_xl import ModelConfig, StableDiffusionXLPipeline

model_id = "stabilityai/stable-diffusion-xl-base-1.0"
pipe = StableDiffusionXLPipeline.from_pretrained(
    torch_dtype=torch.float32,
    device="cuda",
    model_configs=[
        ModelConfig(model_id=model_id, origin_file_pattern="text_encoder/model.safetensors"),
        ModelConfig(model_id=model_id, origin_file_pattern="text_encoder_2/model.safetensors"),
        ModelConfig(model_id=model_id, origin_file_pattern="unet/diffusion_pytorch_model.safetensors"),
        ModelConfig(model_id=model_id, origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id=model_id, origin_file_pattern="tokenizer/"),
    tokenizer_2_config=ModelConfig(model_id=model_id, origin_file_pattern="tokenizer_2/"),
)
image = pipe(
    prompt="A photograph of a fox in a birch wood.",
    negative_prompt="blurry",
    cfg_scale=5.0,
    height=1024,
    width=1024,
    seed=42,
    num_inference_steps=50,
)
image.save("fox.jpg")
