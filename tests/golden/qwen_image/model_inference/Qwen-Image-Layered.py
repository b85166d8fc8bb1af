import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import QwenImagePipeline, ModelConfig

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="npu",
    model_configs=[
        ModelConfig(model_id="Qwen/Qwen-Image-Layered", origin_file_pattern="transformer/diffusion_pytorch_model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors"),
        ModelConfig(model_id="Qwen/Qwen-Image-Layered", origin_file_pattern="vae/diffusion_pytorch_model.safetensors"),
    ],
    tokenizer_config=ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="tokenizer/"),
)

# Put a picture of your own here.
input_image = Image.open("data/examples/qwen_image/image1.png").convert("RGBA").resize((864, 480))

# The prompt says what is to be seen in the whole picture.
images = pipe(
    prompt="A child waves under a blue sky full of balloons, with the word HELLO in red letters above.",
    layer_input_image=input_image, layer_num=3,
    height=480, width=864,
    num_inference_steps=50,
    seed=1,
)
for number, image in enumerate(images[1:], start=1):  # the first is the picture itself
    image.save(f"image_Qwen-Image-Layered_{number}.png")
