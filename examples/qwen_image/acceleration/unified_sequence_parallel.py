# Run on 8 devices of this machine: torchrun --standalone --nproc_per_node 8 examples/qwen_image/acceleration/unified_sequence_parallel.py
import torch
from diffsynth.core.parallel.main_rank import is_main_rank
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    use_usp=True,
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)

image = pipe(
    prompt="清晨的海边集市，渔民把银色的鱼摆上木案，背后的蓝色招牌上写着“今日渔获”，海面泛着淡金色的光。",
    negative_prompt="模糊，低质量，文字错误",
    num_inference_steps=40,
    seed=0, tiled=True,
)
if is_main_rank():
    image.save("image_unified_sequence_parallel.jpg")
