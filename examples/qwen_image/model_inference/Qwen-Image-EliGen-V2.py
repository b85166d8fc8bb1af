import torch
from PIL import Image
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
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-EliGen-V2", origin_file_pattern="model.safetensors"))

# What is to be where: put masks of your own here, white where each of these is to be.
entity_prompts = [
    "a woman in a white dress",
    "a mirror",
    "the edge of a forest",
]
entity_masks = [
    Image.open(f"data/examples/qwen_image/mask_{number}.png").convert("RGB").resize((1024, 1024))
    for number in range(len(entity_prompts))
]

image = pipe(
    prompt="A woman in a white dress holds a mirror at the edge of a forest, morning mist, soft colours.",
    negative_prompt="blurry, low quality, deformed hands",
    eligen_entity_prompts=entity_prompts, eligen_entity_masks=entity_masks,
    height=1024, width=1024,
    num_inference_steps=30,
    seed=0,
)
image.save("image_Qwen-Image-EliGen-V2.jpg")
