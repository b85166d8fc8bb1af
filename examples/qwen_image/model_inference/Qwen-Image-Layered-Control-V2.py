import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Layered-Control", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image-Layered", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)
pipe.load_lora(pipe.dit, ModelConfig(model_id="DiffSynth-Studio/Qwen-Image-Layered-Control-V2", origin_file_pattern="model.safetensors"))

# Put a picture of your own here, and a mask of the same size, white where the layer is that is to be cut out.
input_image = Image.open("data/examples/qwen_image/image1.png").convert("RGBA").resize((1024, 1024))
mask_image = Image.open("data/examples/qwen_image/mask_image.png").convert("RGBA").resize((1024, 1024))

images = pipe(
    prompt="The word APRIL",
    layer_input_image=input_image, layer_num=0, context_image=mask_image,
    cfg_scale=1,
    height=1024, width=1024,
    num_inference_steps=10,
    seed=0,
)
images[0].save("image_Qwen-Image-Layered-Control-V2.png")
