from diffsynth.pipelines.z_image import ZImagePipeline, ModelConfig
import torch

pipe = ZImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="transformer/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="text_encoder/*.safetensors"),
        ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Tongyi-MAI/Z-Image-Turbo", origin_file_pattern="tokenizer/"),
)

# For the same seed, noise drawn on the device differs from noise drawn on the CPU (the default).
image = pipe(
    prompt="清晨的江南水乡，薄雾笼罩着石桥与白墙黛瓦，一位撑着红色油纸伞的女子缓步走过，水面映出她的倒影，桥头木牌上写着“枕水人家”。",
    seed=0, rand_device="cuda",
)
image.save("image_Z-Image-Turbo.jpg")
