"""How large a network is built: its arguments, from the table's entry and the class's defaults, made small by rule.

What a network takes in and gives out keeps its published width, since another network is on the other side of it; what
is inside becomes small: two layers, two heads of their published size, and a width to match.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

LAYERS = 2
HEADS = 2
VOCABULARY = 1024  # more than a made-up tokenizer has

_LAYERS = (
    "num_layers depth n_layers num_blocks num_single_layers num_double_stream_layers num_hidden_layers "
    "num_encoder_layers num_refiner_layers n_refiner_layers mm_double_blocks_depth layers_per_block"
).split()
_HEADS = ("num_heads", "num_attention_heads", "n_heads", "heads_num")
_KEY_HEADS = ("num_kv_heads", "n_kv_heads", "num_key_value_heads")
_WIDTHS = ("dim", "hidden_size")
_INNER_WIDTHS = ("ffn_dim", "ffn_hidden_size", "intermediate_size", "dim_ffn")
_VOCABULARIES = ("vocab", "vocab_size")
_PLACES = ("vace_layers", "mot_layers", "control_layers_places", "control_layers")  # blocks of another network

# Where the rules fail, by class: arguments as they are to be.
ARGUMENTS: dict[str, dict[str, Any]] = {
    # A text encoder's width is what it gives out. Its attention may be narrower.
    "WanTextEncoder": {"dim": 4096, "dim_attn": 128, "dim_ffn": 128, "num_heads": 2},
    "FluxTextEncoderClip": {"encoder_intermediate_size": 128, "vocab_size": VOCABULARY},
    "SDTextEncoder": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 128, "num_hidden_layers": 4},
    "SDXLTextEncoder2": {
        "hidden_size": 1280,
        "num_attention_heads": 20,
        "intermediate_size": 128,
    },
    "WanVideoVAE": {},
    "QwenImageVAE": {"base_dim": 8},
    "StableDiffusionVAE": {"block_out_channels": (32, 64, 64, 64)},
    "Flux2VAE": {"block_out_channels": (32, 64, 64, 64)},
    # The counts of heads are per level here.
    "UNet2DConditionModel": {"block_out_channels": (32, 64, 64, 64), "attention_head_dim": 2},
    "SDXLUNet2DConditionModel": {
        "block_out_channels": (64, 128, 128),
        "attention_head_dim": [1, 2, 2],
        "transformer_layers_per_block": [1, 1, 2],
    },
    "LTXModel": {
        "num_attention_heads": 2,
        "cross_attention_dim": 256,
        "caption_channels": 256,
        "audio_num_attention_heads": 2,
        "audio_cross_attention_dim": 128,
    },
    # Of the text encoder it takes the output of every layer, and of its embedding.
    "LTX2TextEncoderPostModules": {
        "embedding_dim_gemma": 256,
        "num_layers_gemma": LAYERS + 1,
        "num_connector_layers": 1,
        "video_attention_heads": 2,
        "audio_attention_heads": 2,
    },
    "LTX2VideoDecoder": {"base_channels": 16},
    "LTX2AudioDecoder": {"ch_mult": (1, 1, 1), "num_res_blocks": 1},
    "LTX2AudioEncoder": {"ch_mult": (1, 1, 1), "num_res_blocks": 1},
    "LTX2Vocoder": {"upsample_initial_channel": 64},
    "LTX2LatentUpsampler": {"mid_channels": 64, "num_blocks_per_stage": 1},
}


def small_arguments(network: Callable[..., Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments for `network`, whose entry in the table is given: its own, and those that become small."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(network).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    given = entry.get("extra_kwargs") or {}
    asked = {name: value for name, value in {**defaults, **given}.items() if value is not inspect.Parameter.empty}
    own = ARGUMENTS.get(getattr(network, "__name__", ""))
    smaller = _by_rule(asked)
    if own is not None:
        smaller = {name: value for name, value in smaller.items() if name in (*_LAYERS, *_VOCABULARIES)} | own
    there = {name: value for name, value in smaller.items() if asked.get(name) is not None}
    return {**given, **{name: value for name, value in there.items() if asked[name] != value}}


def _by_rule(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that change, of those of these names."""
    smaller: dict[str, Any] = {name: min(asked[name], LAYERS) for name in _LAYERS if _is_number(asked.get(name))}
    smaller |= {name: min(asked[name], VOCABULARY) for name in _VOCABULARIES if _is_number(asked.get(name))}
    smaller |= {name: tuple(range(LAYERS)) for name in _PLACES if asked.get(name)}
    if asked.get("layer_types"):
        smaller["layer_types"] = list(asked["layer_types"])[:LAYERS]
    heads = next((name for name in _HEADS if _is_number(asked.get(name))), None)
    if heads is None:
        return smaller
    smaller[heads] = min(asked[heads], HEADS)
    for name in _KEY_HEADS:
        if _is_number(asked.get(name)):
            smaller[name] = smaller[heads] if asked[name] == asked[heads] else 1
    width = next((name for name in _WIDTHS if _is_number(asked.get(name))), None)
    if width is not None:
        size = asked[width] // asked[heads] * smaller[heads]
        smaller[width] = size
        smaller |= {name: 2 * size for name in _INNER_WIDTHS if _is_number(asked.get(name))}
    return smaller


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
