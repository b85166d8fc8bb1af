from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig
import torch

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image-2512", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)

# For the same seed, noise drawn on the device differs from noise drawn on the CPU (the default).
image = pipe(
    prompt="一间临街的旧书店，橱窗里堆满泛黄的书，木招牌上写着“慢读”二字，午后的阳光斜照在门口的自行车上。",
    negative_prompt="模糊，低质量，文字错误",
    num_inference_steps=40,
    seed=0, rand_device="npu",
)
image.save("image_Qwen-Image-2512.jpg")
