"""Qwen-Image: a prompt, and if wanted pictures, become a picture."""

from __future__ import annotations

from collections.abc import Iterable

from diffsynth.families.family import (
    HEAD_DIM,
    Family,
    Folder,
    Network,
    Published,
    Sizes,
    TokenizerFolder,
    WeightFile,
)

__all__ = ["FAMILY", "without_language_head"]

VISION_HEAD_DIM = 80  # of Qwen2.5-VL's vision tower


def without_language_head(keys: Iterable[str]) -> dict[str, str]:
    """The names but for that of the layer that predicts the next word: a gigabyte that no picture needs."""
    return {key: key for key in keys if key != "lm_head.weight"}


def _text_width(sizes: Sizes) -> int:
    """Of the text encoder's output: whole heads."""
    return -(-4 * sizes.text_width // HEAD_DIM) * HEAD_DIM


TEXT_ENCODER = Network(
    name="qwen_image_text_encoder",
    model_class="diffsynth.models.qwen_image_text_encoder.QwenImageTextEncoder",
    attributes=("text_encoder",),
    published=(
        Published(
            "8004730443f55db63092006dd9f7110e",
            "Qwen/Qwen-Image: text_encoder/model*.safetensors",
            names=without_language_head,
        ),
    ),
    small=lambda sizes: {
        "vocab_size": sizes.vocab_size,
        "dim": _text_width(sizes),
        "dim_ffn": 2 * _text_width(sizes),
        "num_layers": sizes.text_layers,
        "num_kv_heads": 1,
        "vision_dim": 2 * VISION_HEAD_DIM,
        "vision_dim_ffn": 4 * VISION_HEAD_DIM,
        "vision_layers": sizes.text_layers,
    },
    unused=lambda sizes: {"lm_head.weight": (sizes.vocab_size, _text_width(sizes))},
    vram_units=("model.visual.patch_embed",),  # it looks at its layer's weights before it runs it
)

DIT = Network(
    name="qwen_image_dit",
    model_class="diffsynth.models.qwen_image_dit.QwenImageDiT",
    attributes=("dit",),
    published=(
        Published(
            "0319a1cb19835fb510907dd3367c95ff",
            "Qwen/Qwen-Image, -2512, -Edit, -Edit-2509, -Edit-2511: transformer/diffusion_pytorch_model*.safetensors",
        ),
    ),
    small=lambda sizes: {
        "num_layers": sizes.layers,
        "num_heads": sizes.width // HEAD_DIM,
        "head_dim": HEAD_DIM,
        "text_dim": _text_width(sizes),
    },
    cut="diffsynth.models.qwen_image_parallel",
)

VAE = Network(
    name="qwen_image_vae",
    model_class="diffsynth.models.qwen_image_vae.QwenImageVAE",
    attributes=("vae",),
    published=(
        Published("ed4ea5824d55ec3107b09815e318123a", "Qwen/Qwen-Image: vae/diffusion_pytorch_model.safetensors"),
    ),
    small=lambda sizes: {"dim": sizes.vae_width},
    tiles_across="diffsynth.models.wan_video_vae_parallel",
)


def _dit(identity: str, shards: int) -> WeightFile:
    return WeightFile("transformer/diffusion_pytorch_model.safetensors", DIT, identity, shards)


# All of the family share these three.
_COMMON = (
    WeightFile("text_encoder/model.safetensors", TEXT_ENCODER, "Qwen2.5-VL", shards=4),
    WeightFile("vae/diffusion_pytorch_model.safetensors", VAE, "Qwen-Image vae"),
    TokenizerFolder("tokenizer", "qwen"),
)
_PROCESSOR = TokenizerFolder("processor", "qwen_processor")

FAMILY = Family(
    name="qwen_image",
    title="Qwen-Image",
    makes="image",
    pipeline="diffsynth.pipelines.qwen_image.QwenImagePipeline",
    networks=(TEXT_ENCODER, DIT, VAE),
    has="a Qwen-Image pipeline has one text encoder, one DiT and one VAE",
    models={
        "Qwen/Qwen-Image": (_dit("Qwen-Image", shards=9), *_COMMON),
        "Qwen/Qwen-Image-2512": (_dit("Qwen-Image-2512", shards=9), *_COMMON),
        "Qwen/Qwen-Image-Edit": (_dit("Qwen-Image-Edit", shards=9), *_COMMON, _PROCESSOR),
        "Qwen/Qwen-Image-Edit-2509": (_dit("Qwen-Image-Edit-2509", shards=5), *_COMMON, _PROCESSOR),
        "Qwen/Qwen-Image-Edit-2511": (_dit("Qwen-Image-Edit-2511", shards=5), *_COMMON, _PROCESSOR),
    },
    folders=(
        Folder(
            "processor_config",
            "processor",
            "diffsynth.models.qwen_image_prompt.QwenImageProcessor",
            default=("Qwen/Qwen-Image-Edit", "processor/"),
            for_inputs=("edit_image",),
        ),
        Folder(
            "tokenizer_config",
            "tokenizer",
            "diffsynth.models.qwen_image_prompt.QwenImageTokenizer",
            needed_by="text_encoder",
            instead="processor_config",
            default=("Qwen/Qwen-Image", "tokenizer/"),
        ),
    ),
    levels="diffsynth.diffusion.flow_match.qwen_image_levels",
    training="diffsynth.families.qwen_image.training.QwenImageTraining",
    lora_targets=(
        *("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out"),
        *("img_mlp.net.2", "img_mod.1", "txt_mlp.net.2", "txt_mod.1"),
    ),
    conditions="diffsynth.families.qwen_image.conditions.CONDITIONS",
    imported_late=(
        "transformers.models.qwen2.tokenization_qwen2",
        "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
        "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
        "transformers.models.qwen2_vl.image_processing_pil_qwen2_vl",
        "transformers.models.qwen2_vl.image_processing_qwen2_vl",
        "transformers.models.auto.processing_auto",
    ),
)
