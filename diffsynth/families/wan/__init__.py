"""Wan: a prompt, and if wanted a video, become a video."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from diffsynth.families.family import (
    Converted,
    Family,
    Folder,
    Network,
    NpuOption,
    Published,
    Series,
    Shapes,
    Sizes,
    TokenizerFolder,
    WeightFile,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DitSizes(TypedDict, total=False):
    """What a DiT takes besides noisy latents and a prompt, as `WanModel` has it."""

    in_dim: int
    out_dim: int
    picture_dim: int
    picture_positions: int
    reference_dim: int
    camera_dim: int


def without_vace(keys: Iterable[str]) -> dict[str, str]:
    """The DiT of a file that holds VACE's blocks as well."""
    return {key: key for key in keys if not key.startswith("vace_")}


def only_vace(keys: Iterable[str]) -> dict[str, str]:
    """What `without_vace` leaves out."""
    return {key: key for key in keys if key.startswith("vace_")}


def picture_half(keys: Iterable[str]) -> dict[str, str]:
    """Of a CLIP, what makes the features that enter the last layer of its picture half."""
    own = [key for key in keys if key.startswith("visual.")]
    layers = {key: int(key.split(".")[2]) for key in own if key.startswith("visual.transformer.")}
    if not layers:
        return {}
    last = max(layers.values())
    unused = ("visual.post_norm.", "visual.head")
    return {key: key for key in own if layers.get(key) != last and not key.startswith(unused)}


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
        "vocab_size": sizes.vocab_size,
        "dim": sizes.text_width,
        "dim_attn": sizes.text_width,
        "dim_ffn": 2 * sizes.text_width,
        "num_heads": 4,
        "num_layers": sizes.text_layers,
    },
    gains={"attn.q.weight": 0.25},  # this attention divides by no root of the head size
)

_TO_PICTURE: DitSizes = {"picture_dim": 160}
# The sizes that are published, and what a network has in its file besides, by its width of the picture's features.
_1_3B = {"dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30}
_14B = {"dim": 5120, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40}
_5B = {"dim": 3072, "ffn_dim": 14336, "num_heads": 24, "num_layers": 30, "in_dim": 48, "out_dim": 48}
_SEES = {"picture_dim": 1280}
_SHARDS = "diffusion_pytorch_model*.safetensors"

# fmt: off
_DITS = (
    Published("9269f8db9040a9d860eaca435be61814", sizes=_1_3B,
              where=f"Wan-AI/Wan2.1-T2V-1.3B: {_SHARDS}"),
    Published("aafcfd9672c3a2456dc46e1cb6e52c70", sizes=_14B,
              where=f"Wan-AI/Wan2.1-T2V-14B, both experts of Wan-AI/Wan2.2-T2V-A14B: {_SHARDS}"),
    Published("5ec04e02b42d2580483ad69f4e76346a", names=without_model_prefix, sizes=_14B,
              where="krea/krea-realtime-video: krea-realtime-video-14b.safetensors, 14B with names below 'model.'"),
    Published("6bfcfb3b342cb286ce886889d519a77e", sizes={**_14B, **_SEES, "in_dim": 36},
              where=f"Wan-AI/Wan2.1-I2V-14B-480P and -720P, PAI/Wan2.1-Fun-14B-InP and its V1.1: {_SHARDS}"),
    Published("3ef3b1f8e1dab83d5b71fd7b617f859f", sizes={**_14B, **_SEES, "in_dim": 36, "picture_positions": 514},
              where=f"Wan-AI/Wan2.1-FLF2V-14B-720P: {_SHARDS}"),
    Published("5b013604280dd715f8457c6ed6d6a626", sizes={**_14B, "in_dim": 36},
              where=f"both experts of Wan-AI/Wan2.2-I2V-A14B and of PAI/Wan2.2-Fun-A14B-InP: {_SHARDS}"),
    Published("1f5ab7703c6fc803fdded85ff040c316", sizes=_5B,
              where=f"Wan-AI/Wan2.2-TI2V-5B: {_SHARDS}"),
    Published("6d6ccde6845b95ad9114ab993d917893", sizes={**_1_3B, **_SEES, "in_dim": 36},
              where=f"PAI/Wan2.1-Fun-1.3B-InP and its V1.1: {_SHARDS}"),
    Published("349723183fc063b2bfc10bb2835cf677", sizes={**_1_3B, **_SEES, "in_dim": 48},
              where=f"PAI/Wan2.1-Fun-1.3B-Control: {_SHARDS}"),
    Published("efa44cddf936c70abd0ea28b6cbe946c", sizes={**_14B, **_SEES, "in_dim": 48},
              where=f"PAI/Wan2.1-Fun-14B-Control: {_SHARDS}"),
    Published("70ddad9d3a133785da5ea371aae09504", sizes={**_1_3B, **_SEES, "in_dim": 48, "reference_dim": 16},
              where=f"PAI/Wan2.1-Fun-V1.1-1.3B-Control: {_SHARDS}"),
    Published("26bde73488a92e64cc20b0a7485b9e5b", sizes={**_14B, **_SEES, "in_dim": 48, "reference_dim": 16},
              where=f"PAI/Wan2.1-Fun-V1.1-14B-Control: {_SHARDS}"),
    Published("ac6a5aa74f4a0aab6f64eb9a72f19901", sizes={**_1_3B, **_SEES, "in_dim": 32, "camera_dim": 24},
              where=f"PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera: {_SHARDS}"),
    Published("b61c605c2adbd23124d152ed28e049ae", sizes={**_14B, **_SEES, "in_dim": 32, "camera_dim": 24},
              where=f"PAI/Wan2.1-Fun-V1.1-14B-Control-Camera: {_SHARDS}"),
    Published("2267d489f0ceb9f21836532952852ee5", sizes={**_14B, "in_dim": 52, "reference_dim": 16},
              where=f"both experts of PAI/Wan2.2-Fun-A14B-Control: {_SHARDS}"),
    Published("47dbeab5e560db3180adf51dc0232fb1", sizes={**_14B, "in_dim": 36, "camera_dim": 24},
              where=f"both experts of PAI/Wan2.2-Fun-A14B-Control-Camera: {_SHARDS}"),
    Published("a61453409b67cd3246cf0c3bebad47ba", names=without_vace, sizes=_1_3B,
              where=f"Wan-AI/Wan2.1-VACE-1.3B, iic/VACE-Wan2.1-1.3B-Preview: {_SHARDS}"),
    Published("7a513e1f257a861512b1afd387a8ecd9", names=without_vace, sizes=_14B,
              where=f"Wan-AI/Wan2.1-VACE-14B, both experts of PAI/Wan2.2-VACE-Fun-A14B: {_SHARDS}"),
)
# fmt: on

DIT = Network(
    name="wan_video_dit",
    model_class="diffsynth.models.wan_video_dit.WanModel",
    attributes=("dit", "dit2"),
    published=_DITS,
    small=lambda sizes: {
        "dim": sizes.width,
        "ffn_dim": 2 * sizes.width,
        "num_heads": sizes.heads,
        "num_layers": sizes.layers,
        "text_dim": sizes.text_width,
    },
    dtype="float32",
    cut="diffsynth.models.wan_video_parallel",
)

VACE = Network(
    name="wan_video_vace",
    model_class="diffsynth.models.wan_video_vace.VaceWanModel",
    attributes=("vace", "vace2"),
    published=(
        Published(
            "a61453409b67cd3246cf0c3bebad47ba",
            "in the file of the DiT: VACE, 15 hints for 1.3B",
            names=only_vace,
            sizes={**_1_3B, "num_layers": 15},
        ),
        Published(
            "7a513e1f257a861512b1afd387a8ecd9",
            "in the file of the DiT: VACE, 8 hints for 14B",
            names=only_vace,
            sizes={**_14B, "num_layers": 8},
        ),
    ),
    small=lambda sizes: {
        "dim": sizes.width,
        "ffn_dim": 2 * sizes.width,
        "num_heads": sizes.heads,
        "num_layers": sizes.layers,
    },
    dtype="float32",
    cut="diffsynth.models.wan_video_parallel",
)


def _last_layer(sizes: Sizes) -> Shapes:
    """Of the small CLIP: the layer that Wan does without, and a little of all else that the file has."""
    dim, last = _TO_PICTURE["picture_dim"], f"visual.transformer.{sizes.text_layers}"
    linear = {"attn.to_qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.0": (2 * dim, dim), "mlp.2": (dim, 2 * dim)}
    shapes: Shapes = {"log_scale": (1,), "visual.head": (dim, dim), "textual.token_embedding.weight": (8, 16)}
    for name, shape in linear.items():
        shapes |= {f"{last}.{name}.weight": shape, f"{last}.{name}.bias": shape[:1]}
    for name in (f"{last}.norm1", f"{last}.norm2", "visual.post_norm"):
        shapes |= {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}
    return shapes


IMAGE_ENCODER = Network(
    name="wan_video_image_encoder",
    model_class="diffsynth.models.wan_video_image_encoder.WanImageEncoder",
    attributes=("image_encoder",),
    published=(
        Published(
            "5941c53e207d62f20f9025686193c40b",
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth, and the same as .safetensors",
            names=picture_half,
        ),
    ),
    small=lambda sizes: {
        "dim": _TO_PICTURE["picture_dim"],
        "ffn_dim": 2 * _TO_PICTURE["picture_dim"],
        "num_heads": 2,
        "num_layers": sizes.text_layers,
        "image_size": 28,
        "patch_size": 14,
    },
    dtype="float16",
    unused=_last_layer,
)

VAE = Network(
    name="wan_video_vae",
    model_class="diffsynth.models.wan_video_vae.WanVideoVAE",
    attributes=("vae",),
    published=(
        Published(
            "ccc42284ea13e1ad04693284c7a09be6", "Wan2.1_VAE.pth, and the same as .safetensors", sizes={"dim": 96}
        ),
    ),
    small=lambda sizes: {"dim": sizes.vae_width, "num_res_blocks": sizes.vae_blocks},
    dtype="float32",
    cut="diffsynth.models.wan_video_parallel",
)

VAE_OF_5B = Network(
    name="wan_video_vae",
    model_class="diffsynth.models.wan_video_vae38.WanVideoVAE38",
    attributes=("vae",),
    published=(
        Published(
            "e1de6c02cdac79f8b739f4d3698cd216",
            "Wan2.2_VAE.pth, and the same as .safetensors",
            sizes={"dim": 160, "decoder_dim": 256},
        ),
    ),
    small=lambda sizes: {
        "dim": sizes.vae_width,
        "decoder_dim": sizes.vae_width,
        "num_res_blocks": sizes.vae_blocks,
    },
    dtype="float32",
    cut="diffsynth.models.wan_video_parallel",
    multiple=32,
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


def _dit(identity: str, folder: str = "", shards: int = 6, **sizes: Unpack[DitSizes]) -> WeightFile:
    return WeightFile(f"{folder}diffusion_pytorch_model.safetensors", DIT, identity, shards, sizes)


def _experts(model: str, shards: int = 1, **sizes: Unpack[DitSizes]) -> tuple[WeightFile, ...]:
    return tuple(_dit(f"{model} {noise} noise", f"{noise}_noise_model/", shards, **sizes) for noise in ("high", "low"))


def _with_vace(file: WeightFile) -> WeightFile:
    return replace(file, beside=(VACE,))


_TEXT = WeightFile("models_t5_umt5-xxl-enc-bf16.pth", TEXT_ENCODER, "umt5-xxl")
_TOKENIZER = TokenizerFolder("google/umt5-xxl", "umt5")
_CLIP = WeightFile("models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", IMAGE_ENCODER, "clip")
_COMMON = (_TEXT, WeightFile("Wan2.1_VAE.pth", VAE, "Wan2.1_VAE"), _TOKENIZER)
_SEEING = (*_COMMON, _CLIP)

# By what is put beside the noisy latents: a mask and a first frame (20 channels), and a control video (16).
_FIRST_FRAME: DitSizes = {"in_dim": 36}
_CONTROL: DitSizes = {"in_dim": 48}


_FUN_INP = _FIRST_FRAME | _TO_PICTURE
_FUN_CONTROL = _CONTROL | _TO_PICTURE
_FUN_CONTROL_V1_1: DitSizes = {**_FUN_CONTROL, "reference_dim": 16}
_FUN_CAMERA: DitSizes = {**_TO_PICTURE, "in_dim": 32, "camera_dim": 24}


def _fun(name: str, **sizes: Unpack[DitSizes]) -> dict[str, tuple[WeightFile | TokenizerFolder, ...]]:
    """One of Alibaba PAI's models of Wan2.1."""
    return {f"PAI/{name}": (_dit(name, shards=1, **sizes), *_SEEING)}


FAMILY = Family(
    name="wan",
    title="Wan",
    makes="video",
    pipeline="diffsynth.pipelines.wan_video.WanVideoPipeline",
    networks=(TEXT_ENCODER, IMAGE_ENCODER, DIT, VACE, VAE, VAE_OF_5B),
    has="a Wan pipeline has one text encoder, one VAE, one image encoder at most, and one DiT, or two for the experts "
    "of A14B",
    models={
        "Wan-AI/Wan2.1-T2V-1.3B": (_dit("Wan2.1-T2V-1.3B", shards=1), *_COMMON),
        "Wan-AI/Wan2.1-T2V-14B": (_dit("Wan2.1-T2V-14B"), *_COMMON),
        "Wan-AI/Wan2.2-T2V-A14B": (*_experts("Wan2.2-T2V-A14B", shards=6), *_COMMON),
        "Wan-AI/Wan2.1-I2V-14B-480P": (_dit("I2V-14B-480P", shards=7, **_FIRST_FRAME | _TO_PICTURE), *_SEEING),
        "Wan-AI/Wan2.1-I2V-14B-720P": (_dit("I2V-14B-720P", shards=7, **_FIRST_FRAME | _TO_PICTURE), *_SEEING),
        "Wan-AI/Wan2.1-FLF2V-14B-720P": (
            _dit("FLF2V-14B-720P", shards=7, **_FIRST_FRAME | _TO_PICTURE | {"picture_positions": 10}),
            *_SEEING,
        ),
        "Wan-AI/Wan2.2-I2V-A14B": (*_experts("Wan2.2-I2V-A14B", shards=6, **_FIRST_FRAME), *_COMMON),
        "Wan-AI/Wan2.2-TI2V-5B": (
            _dit("Wan2.2-TI2V-5B", shards=3, in_dim=48, out_dim=48),
            _TEXT,
            WeightFile("Wan2.2_VAE.pth", VAE_OF_5B, "Wan2.2_VAE"),
            _TOKENIZER,
        ),
        "Wan-AI/Wan2.1-VACE-1.3B": (_with_vace(_dit("Wan2.1-VACE-1.3B", shards=1)), *_COMMON),
        "Wan-AI/Wan2.1-VACE-14B": (_with_vace(_dit("Wan2.1-VACE-14B", shards=7)), *_COMMON),
        "iic/VACE-Wan2.1-1.3B-Preview": (_with_vace(_dit("VACE-Wan2.1-1.3B-Preview", shards=1)), *_COMMON),
        "PAI/Wan2.2-VACE-Fun-A14B": (*map(_with_vace, _experts("Wan2.2-VACE-Fun-A14B")), *_COMMON),
        "krea/krea-realtime-video": (
            WeightFile("krea-realtime-video-14b.safetensors", DIT, "krea-realtime-video", prefix="model."),
        ),
        **_fun("Wan2.1-Fun-1.3B-InP", **_FUN_INP),
        **_fun("Wan2.1-Fun-1.3B-Control", **_FUN_CONTROL),
        **_fun("Wan2.1-Fun-14B-InP", **_FUN_INP),
        **_fun("Wan2.1-Fun-14B-Control", **_FUN_CONTROL),
        **_fun("Wan2.1-Fun-V1.1-1.3B-InP", **_FUN_INP),
        **_fun("Wan2.1-Fun-V1.1-1.3B-Control", **_FUN_CONTROL_V1_1),
        **_fun("Wan2.1-Fun-V1.1-14B-InP", **_FUN_INP),
        **_fun("Wan2.1-Fun-V1.1-14B-Control", **_FUN_CONTROL_V1_1),
        **_fun("Wan2.1-Fun-V1.1-1.3B-Control-Camera", **_FUN_CAMERA),
        **_fun("Wan2.1-Fun-V1.1-14B-Control-Camera", **_FUN_CAMERA),
        "PAI/Wan2.2-Fun-A14B-InP": (*_experts("Wan2.2-Fun-A14B-InP", **_FIRST_FRAME), *_COMMON),
        "PAI/Wan2.2-Fun-A14B-Control": (
            *_experts("Wan2.2-Fun-A14B-Control", in_dim=52, reference_dim=16),
            *_COMMON,
        ),
        "PAI/Wan2.2-Fun-A14B-Control-Camera": (
            *_experts("Wan2.2-Fun-A14B-Control-Camera", in_dim=36, camera_dim=24),
            *_COMMON,
        ),
        CONVERTED.model_id: (
            WeightFile("models_t5_umt5-xxl-enc-bf16.safetensors", TEXT_ENCODER, "umt5-xxl"),
            WeightFile("Wan2.1_VAE.safetensors", VAE, "Wan2.1_VAE"),
            WeightFile("Wan2.2_VAE.safetensors", VAE_OF_5B, "Wan2.2_VAE"),
            WeightFile("models_clip_open-clip-xlm-roberta-large-vit-huge-14.safetensors", IMAGE_ENCODER, "clip"),
        ),
    },
    folders=(
        Folder(
            "tokenizer_config",
            "tokenizer",
            "diffsynth.models.wan_video_text_encoder.WanTokenizer",
            needed_by="text_encoder",
            default=("Wan-AI/Wan2.1-T2V-1.3B", "google/umt5-xxl/"),
        ),
    ),
    converted=CONVERTED,
    refused={"audio_processor_config": "speech-to-video"},
    levels="diffsynth.diffusion.flow_match.wan_levels",
    trained=("vace", "vace2", "dit", "dit2"),
    training="diffsynth.families.wan.training.WanTraining",
    lora_targets=("q", "k", "v", "o", "ffn.0", "ffn.2"),
    conditions="diffsynth.families.wan.conditions.CONDITIONS",
    imported_late=("ftfy", "wcwidth", "transformers.models.umt5.modeling_umt5"),
    series=(
        Series(
            "Wan 14B",
            r"(?<![a-z])wan(?![a-z]).*(?<!\d)14b(?![a-z])",
            {"initialize_model_on_cpu": NpuOption(split_training=False)},
        ),
    ),
)
