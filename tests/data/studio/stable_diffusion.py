import torch
from diffsynth.pipelines.stable_diffusion import ModelConfig, StableDiffusionPipeline

model_id = "AI-ModelScope/stable-diffusion-v1-5"
pipe = StableDiffusionPipeline.from_pretrained(
    torch_dtype=torch.float32,
    device="cuda",
    model_configs=[
        ModelConfig(model_id=model_id, origin_file_pattern="text_encoder/model.safetensors"),
        ModelConfig(model_id=model_id, origin_file_pattern="unet/diffusion_pytorch_model.safetensors"),
        ModelConfig(model_id=model_id, origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id=model_id, origin_file_pattern="tokenizer/"),
)
image = pipe(
    prompt="A photograph of a fox in a birch wood.",
    negative_prompt="blurry",
    cfg_scale=7.5,
    height=512,
    width=512,
    seed=42,
    num_inference_steps=50,
)
image.save("fox.jpg")
