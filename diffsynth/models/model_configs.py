"""The models that are told from their files. Append a row at run time to make one of your own known."""

from __future__ import annotations

from typing import Any

# model_hash: diffsynth.core.loader.model_hash of the published file's names and shapes. Sizes stand in no row: each
# class reads them from the shapes.
MODEL_CONFIGS: list[dict[str, Any]] = [
    {
        # Wan-AI/Wan2.1-T2V-1.3B: diffusion_pytorch_model*.safetensors
        "model_hash": "9269f8db9040a9d860eaca435be61814",
        "model_name": "wan_video_dit",
        "model_class": "diffsynth.models.wan_video_dit.WanModel",
    },
    {
        # Wan-AI/Wan2.1-T2V-14B, and both experts of Wan-AI/Wan2.2-T2V-A14B: diffusion_pytorch_model*.safetensors
        "model_hash": "aafcfd9672c3a2456dc46e1cb6e52c70",
        "model_name": "wan_video_dit",
        "model_class": "diffsynth.models.wan_video_dit.WanModel",
    },
    {
        # The 14B network with every name below "model.", as krea-realtime publishes it
        "model_hash": "5ec04e02b42d2580483ad69f4e76346a",
        "model_name": "wan_video_dit",
        "model_class": "diffsynth.models.wan_video_dit.WanModel",
        "state_dict_converter": "diffsynth.models.state_dict_converters.without_model_prefix",
    },
    {
        # models_t5_umt5-xxl-enc-bf16.pth, and the same as .safetensors
        "model_hash": "9c8818c2cbea55eca56c7b447df170da",
        "model_name": "wan_video_text_encoder",
        "model_class": "diffsynth.models.wan_video_text_encoder.WanTextEncoder",
    },
    {
        # Wan2.1_VAE.pth, and the same as .safetensors
        "model_hash": "ccc42284ea13e1ad04693284c7a09be6",
        "model_name": "wan_video_vae",
        "model_class": "diffsynth.models.wan_video_vae.WanVideoVAE",
    },
    {
        # Qwen/Qwen-Image, -Edit and -Edit-2509: transformer/diffusion_pytorch_model*.safetensors
        "model_hash": "0319a1cb19835fb510907dd3367c95ff",
        "model_name": "qwen_image_dit",
        "model_class": "diffsynth.models.qwen_image_dit.QwenImageDiT",
    },
    {
        # Qwen/Qwen-Image: text_encoder/model*.safetensors
        "model_hash": "8004730443f55db63092006dd9f7110e",
        "model_name": "qwen_image_text_encoder",
        "model_class": "diffsynth.models.qwen_image_text_encoder.QwenImageTextEncoder",
        "state_dict_converter": "diffsynth.models.state_dict_converters.without_language_head",
    },
    {
        # Qwen/Qwen-Image: vae/diffusion_pytorch_model.safetensors
        "model_hash": "ed4ea5824d55ec3107b09815e318123a",
        "model_name": "qwen_image_vae",
        "model_class": "diffsynth.models.qwen_image_vae.QwenImageVAE",
    },
]
