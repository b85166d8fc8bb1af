import torch
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Distill-Full", origin_file_pattern="diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)

# In so few steps and without guidance, as it was distilled for.
image = pipe(
    prompt="一艘纸船停在雨后的石阶上，水面映着灯笼的暖光，远处的小桥上写着“归途”。",
    cfg_scale=1,
    num_inference_steps=15,
    seed=0,
)
image.save("image_Qwen-Image-Distill-Full.jpg")
