"""LoRA files: low-rank changes of linear layers, in the spellings that people publish.

A file holds, for each layer, ``<name>.lora_A.weight`` (rank, in) and ``<name>.lora_B.weight`` (out, rank), with the
adapter's name before ``weight`` in files that peft wrote, or ``<name>.lora_down/lora_up.weight`` with an optional
``<name>.alpha``. The layer's weight changes by ``scale * B @ A``. The layer is called as in the model, as in diffusers'
form of it, or, by kohya's scripts, as either with underscores for dots. Its bias may change too, by peft's
``<name>.lora_B.bias`` or ``<name>.diff_b``, and a small layer as a whole, by ``<name>.diff``.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from diffsynth.core.caller import check_number
from diffsynth.families.family import LORA_PREFIXES

_KOHYA_PREFIXES = ("lora_unet_", "lora_transformer_")
_KEY = re.compile(r"(?P<layer>.+)\.lora[._](?P<half>A|B|down|up)(?:\.(?P<adapter>\w+))?\.(?P<kind>weight|bias)")
_DOWN, _UP, _BIAS = "down", "up", "bias"
_PARTS = {
    ("A", "weight"): _DOWN,
    ("down", "weight"): _DOWN,
    ("B", "weight"): _UP,
    ("up", "weight"): _UP,
    ("B", "bias"): _BIAS,
    ("up", "bias"): _BIAS,
}
# Where diffusers and peft put an adapter's settings in a safetensors file's own metadata, or beside it.
_METADATA = "lora_adapter_metadata"
_PEFT_FILE, _PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"


@dataclass(frozen=True)
class LowRank:
    """The change of one layer: `up` (out, rank) times `down` (rank, in) times `scale`, and of its `bias` (out,)."""

    down: Tensor
    up: Tensor
    scale: float
    bias: Tensor | None = None

    def weight(self) -> Tensor:
        """The whole change, (out, in), float32."""
        return (self.up.float() @ self.down.float()) * self.scale

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> LowRank:
        """The same elsewhere, or in another type."""
        down, up = (half.to(device=device, dtype=dtype) for half in (self.down, self.up))
        return LowRank(down, up, self.scale, None if self.bias is None else self.bias.to(device=device, dtype=dtype))

    def times(self, weight: float) -> LowRank:
        """The change, so many times as strong."""
        bias = None if self.bias is None else self.bias.float() * weight
        return LowRank(self.down, self.up, self.scale * weight, bias)


def read_lora(
    state_dict: Mapping[str, Tensor],
    *,
    alpha: float,
    source: str,
    metadata: Mapping[str, str] | None = None,
    prefixes: Sequence[str] = LORA_PREFIXES,
) -> dict[str, LowRank]:
    """Sorts the tensors of a LoRA file by layer, and warns of those that no LoRA has.

    Args:
        state_dict: the file's content.
        alpha: strength, multiplied with the file's own alpha / rank where it has one.
        source: what to call the file in an error.
        metadata: the file's own, where diffusers notes alpha, or what `file_metadata` found beside it.
        prefixes: what a layer's name may have before it.

    Raises:
        ValueError: the file holds no LoRA, half of a layer's pair, or several adapters; or `alpha` is no number.
    """
    check_number("alpha", alpha)
    parts: dict[str, dict[str, Tensor]] = {}
    adapters = set()
    for key, tensor in state_dict.items():
        match = _KEY.fullmatch(key)
        if match and (match["half"], match["kind"]) in _PARTS:
            parts.setdefault(match["layer"], {})[_PARTS[match["half"], match["kind"]]] = tensor
            adapters.add(match["adapter"])
    # Whole differences of linear layers' weights.
    whole = {key: tensor for key, tensor in state_dict.items() if key.endswith(".diff") and tensor.ndim == 2}
    for key, tensor in whole.items():
        layer = key.removesuffix(".diff")
        parts.setdefault(layer, {_DOWN: tensor, _UP: torch.eye(len(tensor), dtype=tensor.dtype, device=tensor.device)})
    if not parts:
        raise ValueError(f"{source} holds no LoRA: expected keys such as blocks.0.self_attn.q.lora_A.weight")
    if len(adapters) > 1:
        named = ", ".join(sorted(adapter or "the unnamed one" for adapter in adapters))
        raise ValueError(f"{source} holds {len(adapters)} adapters ({named}): give a file, or a state_dict, of one")
    noted = _Settings(metadata or {})
    pairs = {}
    for layer, part in parts.items():
        if not {_DOWN, _UP} <= part.keys():
            raise ValueError(f"{source}: {layer} has only its {_DOWN if _DOWN in part else _UP} projection")
        scale = noted.scale(layer, len(part[_DOWN]), state_dict.get(f"{layer}.alpha"), strength=alpha)
        bias = part[_BIAS].float() * scale if _BIAS in part else None
        if (difference := state_dict.get(f"{layer}.diff_b")) is not None:
            bias = difference.float() * alpha
        pairs[_without(prefixes, layer)] = LowRank(part[_DOWN], part[_UP], scale, bias)
    _warn_of_what_is_left_out(state_dict, parts, source)
    return pairs


def file_in(folder: Path) -> Path:
    """The LoRA file of a folder, as peft or diffusers write it, or else the only safetensors file.

    Raises:
        ValueError: it has none, or several.
    """
    for name in (_PEFT_FILE, _DIFFUSERS_FILE):
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise ValueError(f"{folder} holds no one LoRA file: it has {names} that end in .safetensors; name the file")
    return found[0]


def file_metadata(path: str) -> dict[str, str]:
    """What a safetensors file says of itself, and peft's settings from the file beside its own; nothing for others."""
    if not path.endswith(".safetensors"):
        return {}
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
    config = Path(path).with_name(_PEFT_CONFIG)
    if Path(path).name == _PEFT_FILE and _METADATA not in metadata and config.is_file():
        metadata[_METADATA] = config.read_text(encoding="utf-8")
    return metadata


def named_as_in(model: nn.Module, layers: Iterable[str], pairs: Mapping[str, LowRank]) -> dict[str, LowRank]:
    """The changes by the names that the model itself has for its layers; a name it does not know stays.

    Args:
        layers: those that may be meant. The model's `diffusers_names`, if it has any, are diffusers' endings by its
            own.
    """
    theirs = getattr(model, "diffusers_names", {})
    known = {spelling: name for name in layers for spelling in _spellings(name, theirs)}
    return {known.get(_without(_KOHYA_PREFIXES, name), name): pair for name, pair in pairs.items()}


def linear_names(model: nn.Module) -> list[str]:
    """Names of the layers that a LoRA can change."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]


def linear_layers(model: nn.Module, pairs: Mapping[str, LowRank], *, source: str) -> dict[str, nn.Linear]:
    """The layers that a LoRA changes.

    Raises:
        ValueError: a layer that the model does not have, or whose sizes are others.
    """
    known = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    strangers = [name for name in pairs if name not in known]
    if strangers:
        raise ValueError(
            f"{source} changes {strangers[0]}, which is no linear layer of {type(model).__name__} "
            f"({len(strangers)} of the {len(pairs)} that it changes are none): this LoRA was made for another model"
        )
    for name, pair in pairs.items():
        _check_sizes(name, known[name], pair, source)
    return {name: known[name] for name in pairs}


def _check_sizes(name: str, layer: nn.Linear, pair: LowRank, source: str) -> None:
    rank, expected = len(pair.down) if pair.down.ndim else 0, (layer.out_features, layer.in_features)
    if (pair.up.shape, pair.down.shape) != ((expected[0], rank), (rank, expected[1])):
        raise ValueError(
            f"{source}: {name} is {tuple(pair.up.shape)} times {tuple(pair.down.shape)}, "
            f"but the layer is {expected}: this LoRA was made for a model of another size"
        )
    bias = dict(layer.named_parameters(recurse=False)).get("bias")
    if pair.bias is not None and (bias is None or pair.bias.shape != bias.shape):
        has = "none" if bias is None else tuple(bias.shape)
        raise ValueError(
            f"{source}: the change of {name}'s bias is {tuple(pair.bias.shape)}, but the layer's is {has}: this LoRA "
            "was made for another model"
        )


class _Settings:
    """peft's settings of an adapter, as diffusers writes them: a JSON text, each name below that of its network."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        noted: dict[str, Any] = json.loads(metadata.get(_METADATA, "{}"))
        self._alpha = _ending_in(noted, "lora_alpha")
        self._patterns = _ending_in(noted, "alpha_pattern") or {}
        self._rank_stabilised = bool(_ending_in(noted, "use_rslora"))

    def scale(self, layer: str, rank: int, in_the_file: Tensor | None, *, strength: float) -> float:
        """What a layer's change is multiplied with: alpha, of the file's own tensors or as noted, by its rank; and the
        strength."""
        own = (alpha for name, alpha in self._patterns.items() if layer == name or layer.endswith(f".{name}"))
        alpha = float(in_the_file) if in_the_file is not None else next(own, self._alpha)
        if alpha is None:
            return strength
        return strength * alpha / (math.sqrt(rank) if self._rank_stabilised else rank)


def _ending_in(noted: Mapping[str, Any], ending: str) -> Any:
    return next((value for name, value in noted.items() if name == ending or name.endswith(f".{ending}")), None)


def _warn_of_what_is_left_out(state_dict: Mapping[str, Tensor], layers: Iterable[str], source: str) -> None:
    """DoRA's scales, changes of norms and their like: without them the file does not do what it was made for. Changes
    that are zero, which some files have of every norm, are none."""
    taken = {f"{layer}.{ending}" for layer in layers for ending in ("alpha", "diff", "diff_b")}
    others = [
        key
        for key, tensor in state_dict.items()
        if not _KEY.fullmatch(key) and key not in taken and not (".diff" in key and not tensor.any())
    ]
    if others:
        warnings.warn(
            f"{source}: {len(others)} of its tensors are no part of a LoRA and are left out "
            f"({', '.join(others[:3])}{', ...' if len(others) > 3 else ''})",
            stacklevel=4,
        )


def _spellings(name: str, diffusers_names: Mapping[str, str]) -> list[str]:
    """What a layer may be called in a file; `diffusers_names` has diffusers' ending for each of the model's."""
    endings = [ending for ending in diffusers_names if f".{name}".endswith(f".{ending}")]
    names = [name, *(name.removesuffix(ending) + diffusers_names[ending] for ending in endings)]
    return [*names, *(spelling.replace(".", "_") for spelling in names)]


def _without(prefixes: Iterable[str], layer: str) -> str:
    for prefix in prefixes:
        layer = layer.removeprefix(prefix)
    return layer
