"""LoRA files: low-rank changes of linear layers, in the spellings that people publish.

A file holds, for each layer, ``<name>.lora_A.weight`` (rank, in) and ``<name>.lora_B.weight`` (out, rank), with the
adapter's name before ``weight`` in files that peft wrote, or ``<name>.lora_down/lora_up.weight`` with an optional
``<name>.alpha``. The layer's weight changes by ``scale * B @ A``. The layer is called as in the model, as in diffusers'
form of it, or, by kohya's scripts, as either with underscores for dots.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from diffsynth.core.values import check_number

_PREFIXES = ("diffusion_model.", "pipe.dit.", "transformer.", "base_model.model.")
_KOHYA_PREFIXES = ("lora_unet_", "lora_transformer_")
_KEY = re.compile(r"(?P<layer>.+)\.(?P<part>lora_A|lora_B|lora_down|lora_up)(?:\.(?P<adapter>\w+))?\.weight")
_IS_DOWN = {"lora_A": True, "lora_down": True, "lora_B": False, "lora_up": False}
# Where diffusers and peft put an adapter's settings in a safetensors file's own metadata.
_METADATA = "lora_adapter_metadata"


@dataclass(frozen=True)
class LowRank:
    """The change of one layer: `up` (out, rank) times `down` (rank, in) times `scale`."""

    down: Tensor
    up: Tensor
    scale: float

    def weight(self) -> Tensor:
        """The whole change, (out, in), float32."""
        return (self.up.float() @ self.down.float()) * self.scale


def read_lora(
    state_dict: Mapping[str, Tensor], *, alpha: float, source: str, metadata: Mapping[str, str] | None = None
) -> dict[str, LowRank]:
    """Sorts the tensors of a LoRA file by layer, and warns of those that no LoRA has.

    Args:
        state_dict: the file's content.
        alpha: strength, multiplied with the file's own alpha / rank where it has one.
        source: what to call the file in an error.
        metadata: the file's own, where diffusers notes alpha.

    Raises:
        ValueError: the file holds no LoRA, half of a layer's pair, or several adapters; or `alpha` is no number.
    """
    check_number("alpha", alpha)
    halves: dict[str, dict[bool, Tensor]] = {}
    adapters = set()
    for key, tensor in state_dict.items():
        match = _KEY.fullmatch(key)
        if match:
            halves.setdefault(match["layer"], {})[_IS_DOWN[match["part"]]] = tensor
            adapters.add(match["adapter"])
    if not halves:
        raise ValueError(f"{source} holds no LoRA: expected keys such as blocks.0.self_attn.q.lora_A.weight")
    if len(adapters) > 1:
        named = ", ".join(sorted(adapter or "the unnamed one" for adapter in adapters))
        raise ValueError(f"{source} holds {len(adapters)} adapters ({named}): give a file, or a state_dict, of one")
    noted = _Settings(metadata or {})
    pairs = {}
    for layer, half in halves.items():
        if len(half) != 2:
            raise ValueError(f"{source}: {layer} has only its {'down' if True in half else 'up'} projection")
        own_alpha = state_dict.get(f"{layer}.alpha", noted.alpha(layer))
        scale = alpha if own_alpha is None else alpha * float(own_alpha) / half[True].shape[0]
        pairs[_without_prefix(layer)] = LowRank(half[True], half[False], scale)
    _warn_of_what_is_left_out(state_dict, halves, source)
    return pairs


def file_metadata(path: str) -> dict[str, str]:
    """What a safetensors file says of itself; nothing for other files."""
    if not path.endswith(".safetensors"):
        return {}
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def named_as_in(model: nn.Module, layers: Iterable[str], pairs: Mapping[str, LowRank]) -> dict[str, LowRank]:
    """The changes by the names that the model itself has for its layers; a name it does not know stays.

    Args:
        layers: those that may be meant. The model's `diffusers_names`, if it has any, are diffusers' endings by its
            own.
    """
    theirs = getattr(model, "diffusers_names", {})
    known = {spelling: name for name in layers for spelling in _spellings(name, theirs)}
    return {known.get(_without_kohya_prefix(name), name): pair for name, pair in pairs.items()}


def linear_names(model: nn.Module) -> list[str]:
    """Names of the layers that a LoRA can change."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]


def linear_layers(model: nn.Module, pairs: Mapping[str, LowRank], *, source: str) -> dict[str, nn.Linear]:
    """The layers that a LoRA changes.

    Raises:
        ValueError: a layer that the model does not have, or whose sizes are others.
    """
    layers = {}
    for name, pair in pairs.items():
        try:
            layer = model.get_submodule(name)
        except AttributeError:
            layer = None
        if not isinstance(layer, nn.Linear):
            raise ValueError(
                f"{source} changes {name}, which is no linear layer of {type(model).__name__}: "
                "this LoRA was made for another model"
            )
        rank, expected = len(pair.down) if pair.down.ndim else 0, (layer.out_features, layer.in_features)
        if (pair.up.shape, pair.down.shape) != ((expected[0], rank), (rank, expected[1])):
            raise ValueError(
                f"{source}: {name} is {tuple(pair.up.shape)} times {tuple(pair.down.shape)}, "
                f"but the layer is {expected}: this LoRA was made for a model of another size"
            )
        layers[name] = layer
    return layers


class _Settings:
    """peft's settings of an adapter, as diffusers writes them: a JSON text, each name below that of its network."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        noted: dict[str, Any] = json.loads(metadata.get(_METADATA, "{}"))
        self._alpha = next((value for name, value in noted.items() if name.endswith("lora_alpha")), None)
        self._patterns = next((value for name, value in noted.items() if name.endswith("alpha_pattern")), None) or {}

    def alpha(self, layer: str) -> float | None:
        """That of one layer; None where nothing is noted."""
        own = (alpha for name, alpha in self._patterns.items() if layer == name or layer.endswith(f".{name}"))
        return next(own, self._alpha)


def _warn_of_what_is_left_out(state_dict: Mapping[str, Tensor], layers: Iterable[str], source: str) -> None:
    """DoRA's scales, whole differences of biases and their like: without them the file does not do what it was made
    for."""
    alphas = {f"{layer}.alpha" for layer in layers}
    others = [key for key in state_dict if not _KEY.fullmatch(key) and key not in alphas]
    if others:
        warnings.warn(
            f"{source}: {len(others)} of its tensors are no part of a LoRA and are left out "
            f"({', '.join(others[:3])}{', ...' if len(others) > 3 else ''})",
            stacklevel=4,
        )


def _spellings(name: str, diffusers_names: Mapping[str, str]) -> Iterator[str]:
    """What a layer may be called in a file; `diffusers_names` has diffusers' ending for each of the model's."""
    names = [name]
    for ending, theirs in diffusers_names.items():
        if name == ending or name.endswith(f".{ending}"):
            names.append(name.removesuffix(ending) + theirs)
    for spelling in names:
        yield spelling
        yield spelling.replace(".", "_")


def _without_prefix(layer: str) -> str:
    for prefix in _PREFIXES:
        layer = layer.removeprefix(prefix)
    return layer


def _without_kohya_prefix(layer: str) -> str:
    for prefix in _KOHYA_PREFIXES:
        layer = layer.removeprefix(prefix)
    return layer
