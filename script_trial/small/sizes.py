"""A config made small by the names of its entries: two layers, two heads, and every width the same.

Libraries name the sizes of their networks alike, so rules for names do for hundreds of classes. Every width is `WIDTH`,
whatever it is the width of: so a text encoder fits the network that reads its states, and a projection its target,
with no table that says what belongs together. Channels of latents stay as they are, since files hold tables for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LAYERS = 2
HEADS = 2
HEAD = 16
WIDTH = HEADS * HEAD
INNER = 2 * WIDTH
GROUPS = 8
CHANNELS = (32, 64)  # of convolutional networks: the first level, and the others
EXPERTS, EXPERTS_OF_A_TOKEN = 4, 2
PATCHES = 4  # of a picture's side


def small(config: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    """The entries of a config that a small network has to have different, nested configs included.

    `vocabulary` is the number of tokens there are.
    """
    smaller: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and name.endswith("config"):
            kept = {"model_type": value["model_type"]} if "model_type" in value else {}
            smaller[name] = kept | small(value, vocabulary)
        elif name.endswith("vocab_size") and isinstance(value, int):
            smaller[name] = vocabulary
        else:
            cut = _cut(name, value)
            if cut is not None and cut != value:
                smaller[name] = cut
    _several_entries(config, smaller)
    _tokens(config, smaller, vocabulary)
    return smaller


def _cut(name: str, value: Any) -> Any:
    """An entry of this name cut down; None where no rule knows the name."""
    rule = next((rule for pattern, rule in _RULES if pattern.fullmatch(name)), None)
    if rule is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return rule(value)
    if isinstance(value, (list, tuple)) and value and all(type(one) is int for one in value):
        return type(value)(rule(one) for one in value)
    return None


def _at_most(limit: int) -> Callable[[int], int]:
    return lambda value: min(value, limit)


_RULES: tuple[tuple[re.Pattern[str], Callable[[int], int]], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r".*(latent|z)_(dim|channels)|num_feat_extract_layers", lambda value: value),
        (r"(.*_)?layers_per(_\w+)?_block|num_(res|enc|dec)_blocks|num_res_units", _at_most(1)),
        (r"(.*_)?(n?_?layers?|depths?|layers_per_stage|num_blocks)", _at_most(LAYERS)),
        (r"num_(key_value|kv)(_attention)?_heads|n_kv_heads|num_query_groups", _at_most(1)),
        (r"(.*_)?(num_|n_)?(attention_)?n?heads?(_num)?|.*_(num|n)_heads", _at_most(HEADS)),
        (r"(.*_)?head_(dim|size)|d_kv|d_head|qk_(nope|rope)_head_dim|v_head_dim", _at_most(HEAD)),
        (r"(.*_)?(norm_)?num_groups", _at_most(GROUPS)),
        (r"(num|n)_(local_|routed_)?experts", _at_most(EXPERTS)),
        (r"num_experts_per_tok|top_k_experts|moe_topk", _at_most(EXPERTS_OF_A_TOKEN)),
        (r"n_shared_experts|num_shared_experts|first_k_dense_replace", _at_most(1)),
        (r"(.*_)?(intermediate_size|intermediate_dim|ffn?_dim|d_ff|n_inner|mlp_dim|ffn_hidden_size)", _at_most(INNER)),
        (r"base_dim|base_channels", _at_most(CHANNELS[0] // 4)),
        (r"(.*_)?(d_model|n_embd|hidden_sizes?|embed_size|embedding_size|width|conv_dim)", _at_most(WIDTH)),
        (r"(.*_)?dims?|dim_\w+|(caption|conditioning|context)_channels|.*_embed_channels", _at_most(WIDTH)),
    )
)


def _several_entries(config: Mapping[str, Any], smaller: dict[str, Any]) -> None:
    """What depends on more than the name of one entry."""
    if config.get("num_key_value_heads") is not None and config["num_key_value_heads"] == heads_of(config):
        smaller["num_key_value_heads"] = min(HEADS, config["num_key_value_heads"])
    for name in config:
        if name.endswith(("block_out_channels", "down_block_out_channels", "up_block_out_channels")):
            smaller[name] = _channels(config[name])
        elif re.fullmatch(r"axes_dims?(_rope)?|rope_axes_dims?|rope_dim_list", name):
            smaller[name] = shares(config[name], HEAD)
    _lists_of_layers(config, smaller)
    _picture(config, smaller)
    for rope in ("rope_parameters", "rope_scaling"):
        values = config.get(rope)
        if isinstance(values, Mapping) and "mrope_section" in values:
            smaller[rope] = {**values, "mrope_section": shares(values["mrope_section"], HEAD // 2, even=False)}


def heads_of(config: Mapping[str, Any]) -> Any:
    return next((config[name] for name in ("num_attention_heads", "num_heads", "n_head") if name in config), None)


def _channels(channels: Any) -> Any:
    """Of the levels of a convolutional network: the first is narrower than the others."""
    if not isinstance(channels, (list, tuple)) or not all(isinstance(one, int) for one in channels):
        return channels
    return type(channels)(min(one, CHANNELS[0] if one == min(channels) else CHANNELS[1]) for one in channels)


def shares(parts: Sequence[int] | None, total: int, even: bool = True) -> Any:
    """Parts of a rotary embedding in about the same proportion, of this total."""
    if parts is None or not all(isinstance(one, int) for one in parts) or sum(parts) <= total:
        return parts
    unit = 2 if even else 1
    cut = [max(unit, one * total // sum(parts) // unit * unit) for one in parts]
    cut[0] += total - sum(cut)
    return type(parts)(cut)  # type: ignore[call-arg]


def _lists_of_layers(config: Mapping[str, Any], smaller: dict[str, Any]) -> None:
    """What is told layer by layer is told of fewer, of each kind that there is."""
    layers = config.get("num_hidden_layers", config.get("num_layers"))
    lists = {name: value for name, value in config.items() if isinstance(value, (list, tuple)) and len(value) == layers}
    lists = {name: smaller.get(name, value) for name, value in lists.items()}
    if not isinstance(layers, int) or not lists or layers <= LAYERS:
        return
    rows = list(dict.fromkeys(zip(*map(_hashable, lists.values()), strict=True)))
    kept = (rows * LAYERS)[: max(LAYERS, len(rows))]
    smaller["num_hidden_layers" if "num_hidden_layers" in config else "num_layers"] = len(kept)
    for number, (name, value) in enumerate(lists.items()):
        smaller[name] = type(value)(row[number] for row in kept)


def _hashable(values: Sequence[Any]) -> list[Any]:
    return [tuple(one) if isinstance(one, list) else one for one in values]


def _tokens(config: Mapping[str, Any], smaller: dict[str, Any], vocabulary: int) -> None:
    """Tokens that a config names by number are among those that there are, the last ones."""
    for name, value in config.items():
        if re.fullmatch(r".*_token_(id|index)", name) and isinstance(value, int) and value >= vocabulary:
            smaller[name] = vocabulary - 1 - len(smaller.keys() & {one for one in config if "_token_" in one})


def _picture(config: Mapping[str, Any], smaller: dict[str, Any]) -> None:
    """A picture's side, in patches where the network cuts it into such."""
    size, patch = config.get("image_size"), config.get("patch_size")
    if isinstance(size, int):
        smaller["image_size"] = min(size, PATCHES * patch if isinstance(patch, int) else 64)
