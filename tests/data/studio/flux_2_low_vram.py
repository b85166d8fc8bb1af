import torch
from diffsynth.pipelines.flux2_image import Flux2ImagePipeline, ModelConfig

vram_config = {
    "offload_dtype": "disk",
    "offload_device": "disk",
    "onload_dtype": torch.bfloat16,
    "onload_device": "cpu",
    "preparing_dtype": torch.bfloat16,
    "preparing_device": "cuda",
    "computation_dtype": torch.bfloat16,
    "computation_device": "cuda",
}
pipe = Flux2ImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16,
    device="cuda",
    model_configs=[
        ModelConfig(
            model_id="black-forest-labs/FLUX.2-klein-4B", origin_file_pattern="text_encoder/*.safetensors", **vram_config
        ),
        ModelConfig(
            model_id="black-forest-labs/FLUX.2-klein-4B", origin_file_pattern="transformer/*.safetensors", **vram_config
        ),
        ModelConfig(
            model_id="black-forest-labs/FLUX.2-klein-4B",
            origin_file_pattern="vae/diffusion_pytorch_model.safetensors",
            **vram_config,
        ),
    ],
    tokenizer_config=ModelConfig(model_id="black-forest-labs/FLUX.2-klein-4B", origin_file_pattern="tokenizer/"),
    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024**3) - 0.5,
)
image = pipe("A bowl of pears by a window.", seed=0, rand_device="cuda", num_inference_steps=4)
image.save("pears.jpg")
