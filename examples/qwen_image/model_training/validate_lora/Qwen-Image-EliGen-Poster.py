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
pipe.load_lora(pipe.dit, "models/train/Qwen-Image-EliGen-Poster_lora/epoch-4.safetensors", alpha=1)

prompt = "A red circle over a black background."
entity_mask = Image.open("data/example_image_dataset/mask_0.png").convert("RGB").resize((832, 480))
image = pipe(
    prompt, eligen_entity_prompts=["red circle"], eligen_entity_masks=[entity_mask],
    seed=0, num_inference_steps=40, height=480, width=832,
)
image.save("image_Qwen-Image-EliGen-Poster_lora.png")
