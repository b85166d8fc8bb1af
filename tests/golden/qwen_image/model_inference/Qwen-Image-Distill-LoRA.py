import torch
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Distill-LoRA", origin_file_pattern="model.safetensors"))

# In so few steps and without guidance, as it was distilled for.
image = pipe(
    prompt="雪后的山间小站，一列绿色的老火车冒着白汽，站牌上写着“云岭”。",
    cfg_scale=1,
    num_inference_steps=4,
    seed=0,
)
image.save("image_Qwen-Image-Distill-LoRA.jpg")
