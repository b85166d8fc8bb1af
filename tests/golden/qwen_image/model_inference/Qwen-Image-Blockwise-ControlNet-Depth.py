import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig, ControlNetInput

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
        ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Depth", origin_file_pattern="model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)

# Put a picture of your own here: depths to follow.
controlnet_image = Image.open("data/examples/qwen_image/depth_image.jpg").convert("RGB").resize((1328, 1328))

image = pipe(
    prompt="一只小狗坐在开满樱花的庭院里，毛发在晨光下发亮，背后的木牌上写着“春日”。",
    blockwise_controlnet_inputs=[ControlNetInput(image=controlnet_image)],
    height=1328, width=1328,
    num_inference_steps=40,
    seed=0,
)
image.save("image_Qwen-Image-Blockwise-ControlNet-Depth.jpg")
