import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

vram_config = {
    "offload_dtype": "disk",
    "offload_device": "disk",
    "onload_dtype": torch.float8_e4m3fn,
    "onload_device": "cpu",
    "preparing_dtype": torch.float8_e4m3fn,
    "preparing_device": "cuda",
    "computation_dtype": torch.bfloat16,
    "computation_device": "cuda",
}
pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors", **vram_config),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 0.5,
)
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-EliGen-Poster", origin_file_pattern="model.safetensors"))

# What is to be where: put masks of your own here, white where each of these is to be.
entity_prompts = [
    "大字“夏日书市”",
    "一只猫坐在书堆上",
    "小字“七月开市”",
]
entity_masks = [
    Image.open(f"data/examples/qwen_image/mask_{number}.png").convert("RGB").resize((1280, 784))
    for number in range(len(entity_prompts))
]

image = pipe(
    prompt="一张以浅蓝为背景的海报，左侧是大字“夏日书市”，右侧一只猫坐在书堆上，下方小字“七月开市”。",
    negative_prompt="blurry, low quality, deformed hands",
    eligen_entity_prompts=entity_prompts, eligen_entity_masks=entity_masks,
    height=784, width=1280,
    num_inference_steps=40,
    seed=0,
)
image.save("image_Qwen-Image-EliGen-Poster.jpg")
