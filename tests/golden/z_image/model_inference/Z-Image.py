from diffsynth.pipelines.z_image import ZImagePipeline, ModelConfig
import torch

pipe = ZImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="transformer/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="text_encoder/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Tongyi-MAI/Z-Image", origin_file_pattern="tokenizer/"),
)

# For the same seed, noise drawn on the device differs from noise drawn on the CPU (the default).
image = pipe(
    prompt="A lighthouse on a cliff at dusk, painted in thick oil strokes; a sign by its door reads “Keeper's Rest”.",
    negative_prompt="blurry, low quality",
    cfg_scale=4, num_inference_steps=50,
    seed=0, rand_device="npu",
)
image.save("image_Z-Image.jpg")
