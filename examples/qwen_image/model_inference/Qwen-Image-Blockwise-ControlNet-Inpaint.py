import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig, ControlNetInput

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
        ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Inpaint", origin_file_pattern="model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)

# Put a picture of your own here, and a mask of the same size: white where it is to be made anew.
controlnet_image = Image.open("data/examples/qwen_image/image1.jpg").convert("RGB").resize((1024, 1024))
inpaint_mask = Image.open("data/examples/qwen_image/mask_image.png").convert("RGB").resize((1024, 1024))

image = pipe(
    prompt="a cat with sunglasses on a windowsill",
    blockwise_controlnet_inputs=[ControlNetInput(image=controlnet_image, inpaint_mask=inpaint_mask)],
    height=1024, width=1024,
    num_inference_steps=40,
    seed=0,
)
image.save("image_Qwen-Image-Blockwise-ControlNet-Inpaint.jpg")
