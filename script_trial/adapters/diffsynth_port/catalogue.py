"""Which files a published model consists of, and which network is in each: the table that made-up weights follow.

To support another model, add its networks and its row in `MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from script_trial.adapters.diffsynth_port.qwen_folders import (
    QWEN_PROCESSOR_FILES,
    QWEN_TOKENIZER_FILES,
    QWEN_VOCAB_SIZE,
)
from script_trial.adapters.diffsynth_port.tokenizer_folder import TOKENIZER_FILES, VOCAB_SIZE

DTYPES = ("float32", "bfloat16", "float16")
HEAD_DIM = 128  # of every published DiT; the rotary embedding splits it. And of Qwen2.5-VL
VISION_HEAD_DIM = 80  # of Qwen2.5-VL's vision tower


class UnknownModelError(ValueError):
    """No made-up weights are known for a model id."""


@dataclass(frozen=True)
class Sizes:
    """How large made-up networks are.

    width: of the DiT, a multiple of 128 (its head size). layers: blocks of the DiT. text_width: of the text encoder's
    output and the DiT's text input, a multiple of 16. text_layers: blocks of the text encoder. vae_width: channels of
    the VAE at full resolution, even. vae_blocks: residual blocks of a level of Wan's VAE; Qwen-Image's are fixed.

    Raises ValueError naming the size that is not legal.
    """

    width: int = 256
    layers: int = 2
    text_width: int = 64
    text_layers: int = 2
    vae_width: int = 8
    vae_blocks: int = 2

    def __post_init__(self) -> None:
        steps = {"width": HEAD_DIM, "layers": 1, "text_width": 16, "text_layers": 1, "vae_width": 2, "vae_blocks": 1}
        for name, step in steps.items():
            value = getattr(self, name)
            if value <= 0 or value % step:
                multiple = f"a multiple of {step}" if step > 1 else "at least 1"
                raise ValueError(f"{name} must be {multiple}, not {value}")


def _nothing(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    return {}


@dataclass(frozen=True)
class Network:
    """A model class by its dotted name, its arguments at given sizes, and the type its published file holds.

    gains: factors on the random values of the parameters whose file key ends so, where the default would be off.
    unused: shapes of the tensors in the file that the network does not have.
    """

    model_class: str
    arguments: Callable[[Sizes], dict[str, Any]]
    dtype: str
    gains: Mapping[str, float] = field(default_factory=dict)
    unused: Callable[[Sizes], dict[str, tuple[int, ...]]] = _nothing


@dataclass(frozen=True)
class WeightFile:
    """A checkpoint of a model: `name` inside the model's folder (.safetensors or .pth), cut into `shards`.

    Checkpoints of the same `identity` hold the same values, as the text encoders of all Wan models do.
    """

    name: str
    network: Network
    identity: str
    shards: int = 1

    def shard_names(self) -> list[str]:
        """The names of the files with tensors, in the published numbering."""
        if self.shards == 1:
            return [self.name]
        stem, dot, suffix = self.name.rpartition(".")
        return [f"{stem}-{number:05d}-of-{self.shards:05d}{dot}{suffix}" for number in range(1, self.shards + 1)]

    @property
    def index_name(self) -> str:
        """The file that says which shard holds which key."""
        return f"{self.name}.index.json"

    def file_names(self) -> list[str]:
        """All files of the checkpoint; one in shards has an index beside them."""
        return self.shard_names() if self.shards == 1 else [*self.shard_names(), self.index_name]


@dataclass(frozen=True)
class TokenizerFolder:
    """A tokenizer or processor: `name` is its folder inside the model's folder, `files` make what is in it."""

    name: str
    files: Mapping[str, Callable[[], str]]

    def file_names(self) -> list[str]:
        return [f"{self.name}/{file}" for file in self.files]


WAN_DIT = Network(
    model_class="diffsynth.models.wan_video_dit.WanModel",
    arguments=lambda sizes: {
        "dim": sizes.width,
        "ffn_dim": 2 * sizes.width,
        "num_heads": sizes.width // HEAD_DIM,
        "num_layers": sizes.layers,
        "text_dim": sizes.text_width,
    },
    dtype="float32",
)
WAN_TEXT_ENCODER = Network(
    model_class="diffsynth.models.wan_video_text_encoder.WanTextEncoder",
    arguments=lambda sizes: {
        "vocab_size": VOCAB_SIZE,
        "dim": sizes.text_width,
        "dim_attn": sizes.text_width,
        "dim_ffn": 2 * sizes.text_width,
        "num_heads": 4,
        "num_layers": sizes.text_layers,
    },
    dtype="bfloat16",
    gains={"attn.q.weight": 0.25},  # this attention divides by no root of the head size
)
WAN_VAE = Network(
    model_class="diffsynth.models.wan_video_vae.WanVideoVAE",
    arguments=lambda sizes: {"dim": sizes.vae_width, "num_res_blocks": sizes.vae_blocks},
    dtype="float32",
)

QWEN_DIT = Network(
    model_class="diffsynth.models.qwen_image_dit.QwenImageDiT",
    arguments=lambda sizes: {
        "num_layers": sizes.layers,
        "num_heads": sizes.width // HEAD_DIM,
        "head_dim": HEAD_DIM,
        "text_dim": _qwen_text_width(sizes),
    },
    dtype="bfloat16",
)
QWEN_TEXT_ENCODER = Network(
    model_class="diffsynth.models.qwen_image_text_encoder.QwenImageTextEncoder",
    arguments=lambda sizes: {
        "vocab_size": QWEN_VOCAB_SIZE,
        "dim": _qwen_text_width(sizes),
        "dim_ffn": 2 * _qwen_text_width(sizes),
        "num_layers": sizes.text_layers,
        "num_kv_heads": 1,
        "vision_dim": 2 * VISION_HEAD_DIM,
        "vision_dim_ffn": 4 * VISION_HEAD_DIM,
        "vision_layers": sizes.text_layers,
    },
    dtype="bfloat16",
    unused=lambda sizes: {"lm_head.weight": (QWEN_VOCAB_SIZE, _qwen_text_width(sizes))},
)
QWEN_VAE = Network(
    model_class="diffsynth.models.qwen_image_vae.QwenImageVAE",
    arguments=lambda sizes: {"dim": sizes.vae_width},
    dtype="bfloat16",
)


def _qwen_text_width(sizes: Sizes) -> int:
    """Of the text encoder's output: whole heads."""
    return -(-4 * sizes.text_width // HEAD_DIM) * HEAD_DIM


_TEXT_ENCODER = WeightFile("models_t5_umt5-xxl-enc-bf16.pth", WAN_TEXT_ENCODER, identity="umt5-xxl")
_VAE = WeightFile("Wan2.1_VAE.pth", WAN_VAE, identity="Wan2.1_VAE")
_TOKENIZER = TokenizerFolder("google/umt5-xxl", TOKENIZER_FILES)


def _wan_dit(identity: str, folder: str = "", shards: int = 6) -> WeightFile:
    return WeightFile(f"{folder}diffusion_pytorch_model.safetensors", WAN_DIT, identity, shards)


def _qwen_dit(identity: str, shards: int) -> WeightFile:
    return WeightFile("transformer/diffusion_pytorch_model.safetensors", QWEN_DIT, identity, shards)


# All of the family share these three.
_QWEN_COMMON = (
    WeightFile("text_encoder/model.safetensors", QWEN_TEXT_ENCODER, "Qwen2.5-VL", shards=4),
    WeightFile("vae/diffusion_pytorch_model.safetensors", QWEN_VAE, "Qwen-Image vae"),
    TokenizerFolder("tokenizer", QWEN_TOKENIZER_FILES),
)
_QWEN_PROCESSOR = TokenizerFolder("processor", QWEN_PROCESSOR_FILES)

_CONVERTED = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"

MODELS: dict[str, tuple[WeightFile | TokenizerFolder, ...]] = {
    "Wan-AI/Wan2.1-T2V-1.3B": (_wan_dit("Wan2.1-T2V-1.3B", shards=1), _TEXT_ENCODER, _VAE, _TOKENIZER),
    "Wan-AI/Wan2.1-T2V-14B": (_wan_dit("Wan2.1-T2V-14B"), _TEXT_ENCODER, _VAE, _TOKENIZER),
    "Wan-AI/Wan2.2-T2V-A14B": (
        _wan_dit("Wan2.2-T2V-A14B high noise", folder="high_noise_model/"),
        _wan_dit("Wan2.2-T2V-A14B low noise", folder="low_noise_model/"),
        _TEXT_ENCODER,
        _VAE,
        _TOKENIZER,
    ),
    "Qwen/Qwen-Image": (_qwen_dit("Qwen-Image", shards=9), *_QWEN_COMMON),
    "Qwen/Qwen-Image-Edit": (_qwen_dit("Qwen-Image-Edit", shards=9), *_QWEN_COMMON, _QWEN_PROCESSOR),
    "Qwen/Qwen-Image-Edit-2509": (_qwen_dit("Qwen-Image-Edit-2509", shards=5), *_QWEN_COMMON, _QWEN_PROCESSOR),
    _CONVERTED: (
        WeightFile("models_t5_umt5-xxl-enc-bf16.safetensors", WAN_TEXT_ENCODER, identity="umt5-xxl"),
        WeightFile("Wan2.1_VAE.safetensors", WAN_VAE, identity="Wan2.1_VAE"),
    ),
}

# Where pipelines look for a model's common files unless told `redirect_common_files=False`.
REDIRECTED_TO = dict.fromkeys(("Wan-AI/Wan2.1-T2V-1.3B", "Wan-AI/Wan2.1-T2V-14B", "Wan-AI/Wan2.2-T2V-A14B"), _CONVERTED)


def entries_of(model_id: str) -> tuple[WeightFile | TokenizerFolder, ...]:
    """The checkpoints and tokenizers of a model. Raises UnknownModelError, which lists the known ids."""
    if model_id not in MODELS:
        raise UnknownModelError(f"no made-up weights for {model_id!r}; known are {', '.join(MODELS)}")
    return MODELS[model_id]
