"""Networks of transformers' and diffusers' classes, small and random, written by the libraries' own saving."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from script_trial.adapter import CannotMakeUp
from script_trial.small.random_weights import fill, making_up
from script_trial.small.sizes import WIDTH, small

NO_TOKENIZER = 512  # tokens of a network that comes with no tokenizer

# What a config calls a token by number, and how tokenizers write it.
_WRITTEN = {
    "image_token_id": ("<|image_pad|>", "<image>", "[IMG]", "<image_soft_token>"),
    "image_token_index": ("<image>", "<image_soft_token>", "<|image_pad|>", "[IMG]"),
    "video_token_id": ("<|video_pad|>", "<video>"),
    "vision_start_token_id": ("<|vision_start|>",),
    "vision_end_token_id": ("<|vision_end|>",),
    "vision_token_id": ("<|vision_pad|>",),
    "boi_token_index": ("<start_of_image>",),
    "eoi_token_index": ("<end_of_image>",),
    "decoder_start_token_id": ("<|startoftranscript|>", "<pad>"),
}

# Of a type of model, what no rule for a name finds.
_ROPE_3D = {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]}  # half of a head's width
_OF_A_TYPE: dict[str, dict[str, Any]] = {
    "qwen2_vl": {"text_config": {"rope_parameters": _ROPE_3D}},
    "qwen2_5_vl": {
        "text_config": {"rope_parameters": _ROPE_3D},
        "vision_config": {"out_hidden_size": WIDTH, "fullatt_block_indexes": [1], "window_size": 56},
    },
    "qwen3_vl": {
        "text_config": {"rope_parameters": _ROPE_3D},
        "vision_config": {"out_hidden_size": WIDTH, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64},
    },
}


def small_config(config_class: Any, tokenizer: Any = None, given: Mapping[str, Any] | None = None) -> Any:
    """A config of one of transformers' classes, made small, for texts of this tokenizer. `given` goes first."""
    vocabulary = len(tokenizer) if tokenizer is not None else NO_TOKENIZER
    smaller = small(config_class().to_dict(), vocabulary)
    if tokenizer is not None:
        _name_tokens(smaller, config_class().to_dict(), tokenizer)
    smaller = _merged(smaller, _OF_A_TYPE.get(config_class.model_type, {}))
    return config_class(**_merged(smaller, given or {}))


def _merged(entries: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    both = {**entries, **given}
    for name, value in given.items():
        if isinstance(value, Mapping) and isinstance(entries.get(name), Mapping):
            both[name] = _merged(entries[name], value)
    return both


def _name_tokens(smaller: dict[str, Any], config: Mapping[str, Any], tokenizer: Any) -> None:
    """The numbers that the tokenizer gives to the tokens of a config."""
    known = tokenizer.get_vocab()
    for name, value in config.items():
        if isinstance(value, Mapping) and isinstance(smaller.get(name), dict):
            _name_tokens(smaller[name], value, tokenizer)
        elif name in ("bos_token_id", "eos_token_id", "pad_token_id") and value is not None:
            number = getattr(tokenizer, name)
            if number is not None:
                smaller[name] = number
        elif name in _WRITTEN and value is not None:
            written = next((token for token in _WRITTEN[name] if token in known), None)
            if written is not None:
                smaller[name] = known[written]


def small_arguments(network_class: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a network of one of diffusers' classes small. `given` goes first.

    Raises:
        TypeError: the class asks for an argument that has no default and is not given.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(network_class.__init__).parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    missing = [name for name, one in parameters.items() if one.default is one.empty and name not in given]
    if missing:
        raise TypeError(f"{network_class.__name__} asks for {', '.join(missing)}")
    defaults = {name: one.default for name, one in parameters.items() if one.default is not one.empty}
    return {**small({**defaults, **given}, NO_TOKENIZER), **given}


@contextmanager
def told_of(what: str) -> Iterator[None]:
    """Whatever a library raises while something is made up: said in one sentence, as a CannotMakeUp."""
    try:
        yield
    except CannotMakeUp:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise CannotMakeUp(f"{what}, which cannot be made up small ({type(error).__name__}: {reason})") from error


def write_network(network: nn.Module, folder: Path, seed: str, dtype: torch.dtype, **how: Any) -> None:
    """Gives a network random weights and saves it, as its library does."""
    fill(network, seed)
    network.eval().to(dtype).save_pretrained(folder, **how)  # type: ignore[operator]


def build(network_class: Any, *arguments: Any, **keywords: Any) -> nn.Module:
    """A network on the host."""
    with making_up():
        network: nn.Module = network_class(*arguments, **keywords)
        return network
