"""Networks of transformers inside DiffSynth-Studio's, whose configs are in the code: made small as they are built.

    self.model = Qwen2_5_VLModel(Qwen2_5_VLConfig(hidden_size=3584, num_hidden_layers=28, ...))

A config is changed in place at the moment when a model of transformers is given it, before anything is built from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from script_trial.adapters.studio.sizes import HEADS, LAYERS, VOCABULARY
from script_trial.adapters.studio.tokenizer_folders import TOKEN_IDS

_LAYERS = ("num_hidden_layers", "num_layers", "num_decoder_layers", "depth")
_HEADS = ("num_attention_heads", "num_heads")
_HEAD_SIZES = ("head_dim", "d_kv")
_INNER_WIDTH = 64
_INNER_WIDTHS = ("intermediate_size", "d_ff")

# Widths that are not the published ones: where the size of a head is the width over the heads, and where another
# network takes all layers' outputs side by side.
WIDTHS = {
    "Qwen2_5_VLTextConfig": 256,
    "Qwen2_5_VLVisionConfig": 160,
    "Gemma3TextConfig": 256,
}

# What a config calls the tokens that a made-up tokenizer has.
_TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "image_token_index": "[IMG]",
    "bos_token_id": "<s>",
    "eos_token_id": "</s>",
    "pad_token_id": "<pad>",
}


@contextlib.contextmanager
def small_configs(layers: int = LAYERS) -> Iterator[None]:
    """Within it, models of transformers are built small, with this many layers."""
    import transformers

    model: Any = transformers.PreTrainedModel
    init = model.__init__

    def small(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        make_small(config, layers)
        init(self, config, *args, **kwargs)

    model.__init__ = small
    try:
        yield
    finally:
        model.__init__ = init


def make_small(config: Any, layers: int) -> None:
    """Changes a config, and those inside it, in place. Doing so twice is the same as once."""
    if vars(config).get("_made_small"):
        return
    config._made_small = True
    inner = _inner_configs(config)
    for name, one in inner.items():
        make_small(one, LAYERS if "vision" in name else layers)
    _tokens(config)
    if not inner:
        _numbers(config, layers)
    elif "text_config" in inner and hasattr(inner.get("vision_config"), "out_hidden_size"):
        inner["vision_config"].out_hidden_size = inner["text_config"].hidden_size


def _inner_configs(config: Any) -> dict[str, Any]:
    from transformers import PretrainedConfig

    return {name: value for name, value in vars(config).items() if isinstance(value, PretrainedConfig)}


def _numbers(config: Any, layers: int) -> None:
    def set_smaller(names: tuple[str, ...], largest: int) -> None:
        for name in names:
            if isinstance(getattr(config, name, None), int):
                setattr(config, name, min(getattr(config, name), largest))

    heads = HEADS if layers <= LAYERS else 1  # where there have to be many
    set_smaller(_LAYERS, layers)
    set_smaller(("vocab_size",), VOCABULARY)
    set_smaller(_INNER_WIDTHS, _INNER_WIDTH)
    if getattr(config, "layer_types", None):
        config.layer_types = list(config.layer_types)[:layers]
    if getattr(config, "fullatt_block_indexes", None):
        config.fullatt_block_indexes = [layers - 1]
    if type(config).__name__ in WIDTHS:
        config.hidden_size = WIDTHS[type(config).__name__]
        set_smaller(_HEADS, heads)
        set_smaller(("num_key_value_heads",), 1)
    elif any(isinstance(getattr(config, name, None), int) for name in _HEAD_SIZES):
        set_smaller(_HEADS, heads)
        set_smaller(("num_key_value_heads",), 1)


def _tokens(config: Any) -> None:
    """Ids of tokens, which have to be in the smaller vocabulary."""
    for name, value in list(vars(config).items()):
        if not name.endswith(("token_id", "token_index")):
            continue
        known = name in _TOKENS and value is not None
        if known or (isinstance(value, int) and value >= VOCABULARY):
            setattr(config, name, TOKEN_IDS[_TOKENS.get(name, "<unk>")])
