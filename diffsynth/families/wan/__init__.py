"""Wan: a prompt, and if wanted a video, become a video."""

from __future__ import annotations

from collections.abc import Iterable

from diffsynth.families.family import (
    HEAD_DIM,
    Converted,
    Family,
    Folder,
    Network,
    Published,
    TokenizerFolder,
    WeightFile,
)
from diffsynth.families.wan.small import TOKENIZER_FILES, VOCAB_SIZE

__all__ = ["FAMILY", "without_model_prefix"]


def without_model_prefix(keys: Iterable[str]) -> dict[str, str]:
    """Each name in the file, by the same without a leading ``model.``."""
    return {key.removeprefix("model."): key for key in keys}


TEXT_ENCODER = Network(
    name="wan_video_text_encoder",
    model_class="diffsynth.models.wan_video_text_encoder.WanTextEncoder",
    attributes=("text_encoder",),
    published=(
        Published("9c8818c2cbea55eca56c7b447df170da", "models_t5_umt5-xxl-enc-bf16.pth, and the same as .safetensors"),
    ),
    small=lambda sizes: {
        "vocab_size": VOCAB_SIZE,
        "dim": sizes.text_width,
        "dim_attn": sizes.text_width,
        "dim_ffn": 2 * sizes.text_width,
        "num_heads": 4,
        "num_layers": sizes.text_layers,
    },
    gains={"attn.q.weight": 0.25},  # this attention divides by no root of the head size
)

DIT = Network(
    name="wan_video_dit",
    model_class="diffsynth.models.wan_video_dit.WanModel",
    attributes=("dit", "dit2"),
    published=(
        Published("9269f8db9040a9d860eaca435be61814", "Wan-AI/Wan2.1-T2V-1.3B: diffusion_pytorch_model*.safetensors"),
        Published(
            "aafcfd9672c3a2456dc46e1cb6e52c70",
            "Wan-AI/Wan2.1-T2V-14B, both experts of Wan-AI/Wan2.2-T2V-A14B: diffusion_pytorch_model*.safetensors",
        ),
        Published(
            "5ec04e02b42d2580483ad69f4e76346a",
            "the 14B network with every name below 'model.', as krea-realtime publishes it",
            names=without_model_prefix,
        ),
    ),
    small=lambda sizes: {
        "dim": sizes.width,
        "ffn_dim": 2 * sizes.width,
        "num_heads": sizes.width // HEAD_DIM,
        "num_layers": sizes.layers,
        "text_dim": sizes.text_width,
    },
    dtype="float32",
    cut="diffsynth.models.wan_video_parallel",
)

VAE = Network(
    name="wan_video_vae",
    model_class="diffsynth.models.wan_video_vae.WanVideoVAE",
    attributes=("vae",),
    published=(Published("ccc42284ea13e1ad04693284c7a09be6", "Wan2.1_VAE.pth, and the same as .safetensors"),),
    small=lambda sizes: {"dim": sizes.vae_width, "num_res_blocks": sizes.vae_blocks},
    dtype="float32",
    tiles_across="diffsynth.models.wan_video_vae_parallel",
)

CONVERTED = Converted(
    "DiffSynth-Studio/Wan-Series-Converted-Safetensors",
    {
        f"{stem}.pth": f"{stem}.safetensors"
        for stem in (
            "models_t5_umt5-xxl-enc-bf16",
            "Wan2.1_VAE",
            "Wan2.2_VAE",
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14",
        )
    },
)


def _dit(identity: str, folder: str = "", shards: int = 6) -> WeightFile:
    return WeightFile(f"{folder}diffusion_pytorch_model.safetensors", DIT, identity, shards)


# Every model has them.
_COMMON = (
    WeightFile("models_t5_umt5-xxl-enc-bf16.pth", TEXT_ENCODER, "umt5-xxl"),
    WeightFile("Wan2.1_VAE.pth", VAE, "Wan2.1_VAE"),
    TokenizerFolder("google/umt5-xxl", TOKENIZER_FILES),
)

FAMILY = Family(
    name="wan",
    title="Wan",
    makes="video",
    pipeline="diffsynth.pipelines.wan_video.WanVideoPipeline",
    networks=(TEXT_ENCODER, DIT, VAE),
    has="a Wan pipeline has one text encoder, one VAE, and one DiT, or two for the experts of A14B",
    models={
        "Wan-AI/Wan2.1-T2V-1.3B": (_dit("Wan2.1-T2V-1.3B", shards=1), *_COMMON),
        "Wan-AI/Wan2.1-T2V-14B": (_dit("Wan2.1-T2V-14B"), *_COMMON),
        "Wan-AI/Wan2.2-T2V-A14B": (
            _dit("Wan2.2-T2V-A14B high noise", folder="high_noise_model/"),
            _dit("Wan2.2-T2V-A14B low noise", folder="low_noise_model/"),
            *_COMMON,
        ),
        CONVERTED.model_id: (
            WeightFile("models_t5_umt5-xxl-enc-bf16.safetensors", TEXT_ENCODER, "umt5-xxl"),
            WeightFile("Wan2.1_VAE.safetensors", VAE, "Wan2.1_VAE"),
        ),
    },
    folders=(
        Folder(
            "tokenizer_config",
            "tokenizer",
            "diffsynth.models.wan_video_tokenizer.WanTokenizer",
            needed_by="text_encoder",
            default=("Wan-AI/Wan2.1-T2V-1.3B", "google/umt5-xxl/"),
        ),
    ),
    converted=CONVERTED,
    refused={"audio_processor_config": "speech-to-video"},
    conditions="diffsynth.families.wan.conditions.CONDITIONS",
    imported_late=("ftfy", "wcwidth", "transformers.models.umt5.modeling_umt5"),
)
