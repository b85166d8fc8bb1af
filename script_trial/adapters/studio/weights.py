"""Made-up files of weights: random values under the keys that DiffSynth-Studio's own classes have.

One file holds the networks of all its entries, each below its name and a bar ("flux_vae_encoder|conv_in.weight"). It is
loaded by DiffSynth-Studio itself, for whose table the entries are written anew: with the file's hash, small arguments,
and a converter that takes one network's keys, in the place of those that know published files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from script_trial.adapters.studio.catalogue import Entry
from script_trial.adapters.studio.hard_coded import make_small
from script_trial.adapters.studio.library import studio
from script_trial.adapters.studio.sizes import LAYERS, small_arguments
from script_trial.adapters.studio.transformers_configs import small_configs
from script_trial.random_values import random_weight

_BETWEEN = "|"
_DTYPE = torch.bfloat16  # of most published files

# Of text encoders whose inner layers a pipeline takes by number: the layers they need, by a part of the model's id.
_DEPTHS = {
    ("Flux2TextEncoder", ""): 31,
    ("ZImageTextEncoder", "klein"): 28,
}

# Of attention that divides by no root of the head's size.
_GAINS = {"attn.q.weight": 0.25, "SelfAttention.q.weight": 0.25}


def small_entry(entry: Entry, model_id: str) -> Entry:
    """The entry with its network's small arguments, and without what is about the published file."""
    network = _class_of(entry)
    make_small(entry["model_class"])
    kept = {name: entry[name] for name in ("model_name", "model_class")}
    depth = next(
        (depth for (name, part), depth in _DEPTHS.items() if name == network.__name__ and part in model_id), LAYERS
    )
    return {
        **kept,
        "extra_kwargs": small_arguments(network, entry),
        "state_dict_converter": _converter(entry["model_name"]),
        "trial_layers": depth,  # read by `building`
    }


def building(entry: Mapping[str, Any]) -> Any:
    """A context in which the network of a small entry is built, whatever it is made of."""
    return small_configs(entry.get("trial_layers", LAYERS))


def write_weights(entries: Iterable[Entry], identity: str, path: Path) -> None:
    """Writes the file of these small entries. Files of one identity hold the same values."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for entry in entries:
        for key, tensor in _state(entry).items():
            tensors[f"{entry['model_name']}{_BETWEEN}{key}"] = _filled(key, tensor, identity)
    save_file(tensors, path, metadata={"format": "pt"})


def _class_of(entry: Mapping[str, Any]) -> type[nn.Module]:
    module, _, name = entry["model_class"].rpartition(".")
    found: type[nn.Module] = getattr(import_module(module), name)
    return found


def _state(entry: Entry) -> dict[str, Tensor]:
    """The network's own state: parameters without values, and the values of its buffers."""
    with studio("core.vram.initialization").skip_model_initialization(), building(entry):
        state: dict[str, Tensor] = _class_of(entry)(**entry["extra_kwargs"]).state_dict()
    return state


def _filled(key: str, tensor: Tensor, identity: str) -> Tensor:
    if not tensor.is_meta:
        return tensor.detach().clone().contiguous()
    dtype = _DTYPE if tensor.dtype.is_floating_point else tensor.dtype
    shape = tuple(tensor.shape)
    return random_weight(key, shape or (1,), dtype, identity, _GAINS).reshape(shape)


def _converter(model_name: str) -> str:
    """The dotted name of a function, made here, that takes the keys of one network out of a file of several."""
    name = f"keys_of_{model_name}"
    setattr(sys.modules[__name__], name, _taking(f"{model_name}{_BETWEEN}"))
    return f"{__name__}.{name}"


def _taking(prefix: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def take(state: Mapping[str, Any]) -> dict[str, Any]:
        return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}

    return take
