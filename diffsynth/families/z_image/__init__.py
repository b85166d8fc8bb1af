"""Z-Image: a prompt, and if wanted a picture to start from, become a picture."""

from __future__ import annotations

from collections.abc import Iterable

from diffsynth.families.family import (
    HEAD_DIM,
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

__all__ = ["FAMILY", "without_last_layer", "without_prefix"]

_LAYERS = "model.layers."


def without_last_layer(keys: Iterable[str]) -> dict[str, str]:
    """The names in a text encoder's file but for those of its last layer and of what comes after: that is not run."""
    keys = list(keys)
    last = max((int(key.split(".")[2]) for key in keys if key.startswith(_LAYERS)), default=0)
    unused = (f"{_LAYERS}{last}.", "model.norm.", "lm_head.")
    return {key: key for key in keys if not key.startswith(unused)}


def without_prefix(keys: Iterable[str]) -> dict[str, str]:
    """Each name in a DiT's file, by the same without what ComfyUI puts before it."""
    return {key.removeprefix("model.diffusion_model."): key for key in keys}


def _not_run(sizes: Sizes) -> Shapes:
    """What the text encoder's file has besides the layers that are run: Qwen3's last, and its norm."""
    small = TEXT_ENCODER.small(sizes)
    dim, ffn = small["dim"], small["dim_ffn"]
    queries, keys = small["num_heads"] * HEAD_DIM, small["num_kv_heads"] * HEAD_DIM
    shapes = {
        "self_attn.q_proj": (queries, dim),
        "self_attn.k_proj": (keys, dim),
        "self_attn.v_proj": (keys, dim),
        "self_attn.o_proj": (dim, queries),
        "self_attn.q_norm": (HEAD_DIM,),
        "self_attn.k_norm": (HEAD_DIM,),
        "mlp.gate_proj": (ffn, dim),
        "mlp.up_proj": (ffn, dim),
        "mlp.down_proj": (dim, ffn),
        "input_layernorm": (dim,),
        "post_attention_layernorm": (dim,),
    }
    layer = f"{_LAYERS}{small['num_layers']}"
    return {f"{layer}.{name}.weight": shape for name, shape in shapes.items()} | {"model.norm.weight": (dim,)}


_PUBLISHED_DIT = {"num_layers": 30, "num_refiner_layers": 2, "num_heads": 30, "head_dim": HEAD_DIM, "text_dim": 2560}

DIT = Network(
    name="z_image_dit",
    model_class="diffsynth.models.z_image_dit.ZImageDiT",
    attributes=("dit",),
    published=(
        Published(
            "fc3a8a1247fe185ce116ccbe0e426c28",
            "Tongyi-MAI/Z-Image-Turbo and Z-Image: transformer/*.safetensors",
            sizes=_PUBLISHED_DIT,
        ),
        Published(
            "8cf241a0d32f93d5de368502a086852f",
            "the same as ComfyUI keeps it",
            names=without_prefix,
            sizes=_PUBLISHED_DIT,
        ),
    ),
    small=lambda sizes: {
        "num_layers": sizes.layers,
        "num_refiner_layers": 1,
        "num_heads": sizes.heads,
        "head_dim": sizes.head_dim,
        "text_dim": sizes.text_width,
    },
)

TEXT_ENCODER = Network(
    name="z_image_text_encoder",
    model_class="diffsynth.models.z_image_text_encoder.ZImageTextEncoder",
    attributes=("text_encoder",),
    published=(
        Published(
            "0f050f62a88876fea6eae0a18dac5a2e",
            "Tongyi-MAI/Z-Image-Turbo and Z-Image: text_encoder/*.safetensors",
            names=without_last_layer,
        ),
    ),
    small=lambda sizes: {
        "vocab_size": sizes.vocab_size,
        "dim": sizes.text_width,
        "dim_ffn": 2 * sizes.text_width,
        "num_layers": sizes.text_layers,
        "num_heads": 2,
        "num_kv_heads": 1,
    },
    unused=_not_run,
)

VAE = Network(
    name="flux_vae",
    model_class="diffsynth.models.flux_vae.FluxVAE",
    attributes=("vae",),
    published=(
        Published(
            "1aafa3cc91716fb6b300cc1cd51b85a3",
            "Tongyi-MAI/Z-Image-Turbo and Z-Image: vae/diffusion_pytorch_model.safetensors",
            sizes={"dim": 128},
        ),
    ),
    small=lambda sizes: {"dim": sizes.vae_width},
)

# Both models have them.
_COMMON = (
    WeightFile("text_encoder/model.safetensors", TEXT_ENCODER, "Qwen3-4B", shards=3),
    WeightFile("vae/diffusion_pytorch_model.safetensors", VAE, "FLUX vae"),
    TokenizerFolder("tokenizer", "qwen"),
)


def _dit(identity: str, shards: int) -> WeightFile:
    return WeightFile("transformer/diffusion_pytorch_model.safetensors", DIT, identity, shards)


FAMILY = Family(
    name="z_image",
    title="Z-Image",
    makes="image",
    pipeline="diffsynth.pipelines.z_image.ZImagePipeline",
    networks=(TEXT_ENCODER, DIT, VAE),
    has="a Z-Image pipeline has one text encoder, one DiT and one VAE",
    models={
        "Tongyi-MAI/Z-Image-Turbo": (_dit("Z-Image-Turbo", shards=3), *_COMMON),
        "Tongyi-MAI/Z-Image": (_dit("Z-Image", shards=2), *_COMMON),
    },
    folders=(
        Folder(
            "tokenizer_config",
            "tokenizer",
            "diffsynth.models.z_image_text_encoder.ZImageTokenizer",
            needed_by="text_encoder",
            default=("Tongyi-MAI/Z-Image-Turbo", "tokenizer/"),
        ),
    ),
    levels="diffsynth.diffusion.flow_match.z_image_levels",
    training="diffsynth.families.z_image.training.ZImageTraining",
    conditions="diffsynth.diffusion.picture_pipeline.CONDITIONS",
    lora_targets=("to_q", "to_k", "to_v", "to_out.0", "w1", "w2", "w3"),
    imported_late=(
        "transformers.models.qwen2.tokenization_qwen2",
        "transformers.models.qwen3.modeling_qwen3",
    ),
    series=(Series("Z-Image", r"(?<![a-z])z[-_]image(?![a-z])", {"enable_npu_patch": NpuOption(split_training=True)}),),
)
