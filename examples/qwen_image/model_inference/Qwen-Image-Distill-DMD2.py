import torch
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)
pipe.load_lora(pipe.dit, ModelConfig(model_id="MusePublic/Qwen-Image-Distill", origin_file_pattern="qwen_image_distill_3step.safetensors"))

# exp(mu) = 2.5
# In so few steps and without guidance, as it was distilled for.
image = pipe(
    prompt="海边的旧书店，橱窗里的台灯亮着，门上的木牌写着“营业中”。",
    cfg_scale=1, exponential_shift_mu=0.9162907318741551,
    num_inference_steps=3,
    seed=0,
)
image.save("image_Qwen-Image-Distill-DMD2.jpg")
