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
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-In-Context-Control-Union", origin_file_pattern="model.safetensors"))

# Put a picture of your own here: edges, depths, a pose, lines, soft edges or normals to follow.
context_image = Image.open("data/examples/qwen_image/depth_image.jpg").convert("RGB").resize((1024, 1024))

image = pipe(
    prompt="Context_Control. A dancer in a pale blue dress turns under a sky full of stars, fine detail, soft light.",
    negative_prompt="blurry, low quality, grid pattern, deformed hands",
    context_image=context_image,
    height=1024, width=1024,
    seed=1,
)
image.save("image_Qwen-Image-In-Context-Control-Union.jpg")
