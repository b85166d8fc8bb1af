"""Qwen-Image: a prompt, and if wanted pictures, become a picture."""

from __future__ import annotations

from collections.abc import Iterable

from diffsynth.families.family import (
    HEAD_DIM,
    Family,
    Folder,
    LoraFile,
    Network,
    NpuMemory,
    NpuOption,
    Published,
    Series,
    Sizes,
    TokenizerFolder,
    WeightFile,
)

__all__ = ["FAMILY", "without_language_head"]

# What a pipeline calls its ControlNets, in the order of its `model_configs`: that of `controlnet_id`.
CONTROLNETS = ("blockwise_controlnet", *(f"blockwise_controlnet{number}" for number in (1, 2, 3)))
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

_PUBLISHED_DIT = {"num_layers": 60, "num_heads": 24, "head_dim": HEAD_DIM, "text_dim": 3584}

DIT = Network(
    name="qwen_image_dit",
    model_class="diffsynth.models.qwen_image_dit.QwenImageDiT",
    attributes=("dit",),
    published=(
        Published(
            "0319a1cb19835fb510907dd3367c95ff",
            "Qwen/Qwen-Image, -2512, -Edit, -Edit-2509, -Edit-2511: transformer/diffusion_pytorch_model*.safetensors; "
            "DiffSynth-Studio/Qwen-Image-Distill-Full: diffusion_pytorch_model*.safetensors",
            sizes=_PUBLISHED_DIT,
        ),
        Published(
            "8dc8cda05de16c73afa755e2c1ce2839",
            "Qwen/Qwen-Image-Layered, DiffSynth-Studio/Qwen-Image-Layered-Control: "
            "transformer/diffusion_pytorch_model*.safetensors",
            sizes=_PUBLISHED_DIT | {"layered": True},
        ),
    ),
    small=lambda sizes: {
        "num_layers": sizes.layers,
        "num_heads": sizes.heads,
        "head_dim": sizes.head_dim,
        "text_dim": _text_width(sizes),
    },
    cut="diffsynth.models.qwen_image_parallel",
)

VAE = Network(
    name="qwen_image_vae",
    model_class="diffsynth.models.qwen_image_vae.QwenImageVAE",
    attributes=("vae",),
    published=(
        Published(
            "ed4ea5824d55ec3107b09815e318123a",
            "Qwen/Qwen-Image: vae/diffusion_pytorch_model.safetensors",
            sizes={"dim": 96},
        ),
        Published(
            "44b39ddc499e027cfb24f7878d7416b9",
            "Qwen/Qwen-Image-Layered: vae/diffusion_pytorch_model.safetensors",
            sizes={"dim": 96, "image_channels": 4},
        ),
    ),
    small=lambda sizes: {"dim": sizes.vae_width},
    cut="diffsynth.models.wan_video_parallel",
)


CONTROLNET = Network(
    name="qwen_image_blockwise_controlnet",
    model_class="diffsynth.models.qwen_image_controlnet.QwenImageBlockWiseControlNet",
    attributes=CONTROLNETS,
    published=(
        Published(
            "073bce9cf969e317e5662cd570c3e79c",
            "DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Canny and -Depth: model.safetensors",
            sizes={"num_layers": 60, "dim": 3072},
        ),
        Published(
            "a9e54e480a628f0b956a688a81c33bab",
            "DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Inpaint: model.safetensors",
            sizes={"num_layers": 60, "dim": 3072, "additional_in_dim": 4},
        ),
    ),
    small=lambda sizes: {"num_layers": sizes.layers, "dim": sizes.heads * sizes.head_dim},
)


def _dit(identity: str, shards: int, *, layered: bool = False) -> WeightFile:
    kwargs = {"layered": True} if layered else {}
    return WeightFile("transformer/diffusion_pytorch_model.safetensors", DIT, identity, shards, kwargs)


def _control(kind: str, **kwargs: int) -> dict[str, tuple[WeightFile]]:
    model_id = f"DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-{kind}"
    return {model_id: (WeightFile("model.safetensors", CONTROLNET, model_id, kwargs=kwargs),)}


_LORA_TARGETS = (
    *("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out"),
    *("img_mlp.net.2", "img_mod.1", "txt_mlp.net.2", "txt_mod.1"),
)


def _lora(model_id: str, name: str = "model.safetensors", rank: int = 32) -> dict[str, tuple[LoraFile]]:
    return {model_id: (LoraFile(name, DIT, model_id, rank, _LORA_TARGETS),)}


# All of the family share these three.
_TEXT_ENCODER = WeightFile("text_encoder/model.safetensors", TEXT_ENCODER, "Qwen2.5-VL", shards=4)
_COMMON = (
    _TEXT_ENCODER,
    WeightFile("vae/diffusion_pytorch_model.safetensors", VAE, "Qwen-Image vae"),
    TokenizerFolder("tokenizer", "qwen"),
)
_PROCESSOR = TokenizerFolder("processor", "qwen_processor")

FAMILY = Family(
    name="qwen_image",
    title="Qwen-Image",
    makes="image",
    pipeline="diffsynth.pipelines.qwen_image.QwenImagePipeline",
    networks=(TEXT_ENCODER, DIT, VAE, CONTROLNET),
    has="a Qwen-Image pipeline has one text encoder, one DiT, one VAE and up to four ControlNets",
    models={
        "Qwen/Qwen-Image": (_dit("Qwen-Image", shards=9), *_COMMON),
        "Qwen/Qwen-Image-2512": (_dit("Qwen-Image-2512", shards=9), *_COMMON),
        "Qwen/Qwen-Image-Edit": (_dit("Qwen-Image-Edit", shards=9), *_COMMON, _PROCESSOR),
        "Qwen/Qwen-Image-Edit-2509": (_dit("Qwen-Image-Edit-2509", shards=5), *_COMMON, _PROCESSOR),
        "Qwen/Qwen-Image-Edit-2511": (_dit("Qwen-Image-Edit-2511", shards=5), *_COMMON, _PROCESSOR),
        "DiffSynth-Studio/Qwen-Image-Distill-Full": (
            WeightFile("diffusion_pytorch_model.safetensors", DIT, "Qwen-Image-Distill-Full", shards=9),
        ),
        "Qwen/Qwen-Image-Layered": (
            _dit("Qwen-Image-Layered", shards=5, layered=True),
            _TEXT_ENCODER,
            WeightFile(
                "vae/diffusion_pytorch_model.safetensors", VAE, "Qwen-Image-Layered vae", kwargs={"image_channels": 4}
            ),
            TokenizerFolder("tokenizer", "qwen"),
            _PROCESSOR,
        ),
        "DiffSynth-Studio/Qwen-Image-Layered-Control": (_dit("Qwen-Image-Layered-Control", shards=5, layered=True),),
        **_lora("DiffSynth-Studio/Qwen-Image-Layered-Control-V2", rank=64),
        **_control("Canny"),
        **_control("Depth"),
        **_control("Inpaint", additional_in_dim=4),
        **_lora("DiffSynth-Studio/Qwen-Image-In-Context-Control-Union", rank=64),
        **_lora("DiffSynth-Studio/Qwen-Image-Edit-Lowres-Fix"),
        **_lora("DiffSynth-Studio/Qwen-Image-EliGen"),
        **_lora("DiffSynth-Studio/Qwen-Image-EliGen-V2"),
        **_lora("DiffSynth-Studio/Qwen-Image-EliGen-Poster"),
        **_lora("DiffSynth-Studio/Qwen-Image-Distill-LoRA"),
        **_lora("MusePublic/Qwen-Image-Distill", "qwen_image_distill_3step.safetensors"),
    },
    folders=(
        Folder(
            "processor_config",
            "processor",
            "diffsynth.models.qwen_image_text_encoder.QwenImageProcessor",
            default=("Qwen/Qwen-Image-Edit", "processor/"),
            for_inputs=("edit_image",),
        ),
        Folder(
            "tokenizer_config",
            "tokenizer",
            "diffsynth.models.qwen_image_text_encoder.QwenImageTokenizer",
            needed_by="text_encoder",
            instead="processor_config",
            default=("Qwen/Qwen-Image", "tokenizer/"),
        ),
    ),
    levels="diffsynth.diffusion.flow_match.qwen_image_levels",
    trained=("dit", *CONTROLNETS),
    training="diffsynth.families.qwen_image.training.QwenImageTraining",
    lora_targets=_LORA_TARGETS,
    conditions="diffsynth.families.qwen_image.conditions.CONDITIONS",
    imported_late=(
        "transformers.models.qwen2.tokenization_qwen2",
        "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
        "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
        "transformers.models.qwen2_vl.image_processing_pil_qwen2_vl",
        "transformers.models.qwen2_vl.image_processing_qwen2_vl",
        "transformers.models.auto.processing_auto",
    ),
    series=(
        Series(
            "Qwen-Image",
            r"(?<![a-z])qwen[-_]?image(?![a-z])",
            {"initialize_model_on_cpu": NpuOption(split_training=False)},
        ),
    ),
    memory=(
        NpuMemory(
            r"(?:^|/)qwen-image-edit-2509$",
            "full",
            "zero3",
            "ZeRO-3 shares out the weights too: with the pictures to edit beside them, a whole copy leaves too little",
        ),
        NpuMemory(
            r"(?:^|/)qwen-image(?:-edit-2509)?$",
            "lora",
            "split",
            "Two steps, since text encoder, VAE and network do not fit on one NPU together: encode once, then train "
            "without the encoders",
        ),
    ),
)
