import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig, ControlNetInput

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
        ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Inpaint", origin_file_pattern="model.safetensors", **vram_config),
        ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Canny", origin_file_pattern="model.safetensors", **vram_config),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 0.5,
)

# Put pictures of your own here: one to change, a mask of the same size, white where it is to be made anew, and edges.
input_image = Image.open("data/examples/qwen_image/image1.jpg").convert("RGB").resize((1328, 1328))
inpaint_mask = Image.open("data/examples/qwen_image/mask_image.png").convert("RGB").resize((1328, 1328))
canny_image = Image.open("data/examples/qwen_image/canny_image.jpg").convert("RGB").resize((1328, 1328))

image = pipe(
    prompt="一只小狗坐在开满樱花的庭院里，毛发在晨光下发亮，背后的木牌上写着“春日”。",
    input_image=input_image, inpaint_mask=inpaint_mask,
    blockwise_controlnet_inputs=[
        ControlNetInput(image=input_image, inpaint_mask=inpaint_mask, controlnet_id=0),
        ControlNetInput(image=canny_image, controlnet_id=1),
    ],
    height=1328, width=1328,
    num_inference_steps=40,
    seed=0,
)
image.save("image_Qwen-Image-Blockwise-ControlNet-InpaintCanny.jpg")
