"""LoRA: low-rank changes of linear layers, fused into the weights or added as the layers run.

A file holds, for each layer, ``<name>.lora_A.weight`` (rank, in) and ``<name>.lora_B.weight`` (out, rank), with
``.default`` between them in files that peft wrote, or ``<name>.lora_down/lora_up.weight`` with an optional
``<name>.alpha``. The layer's weight changes by ``scale * B @ A``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diffsynth.core.values import check_number

_PREFIXES = ("diffusion_model.", "pipe.dit.", "transformer.", "base_model.model.")
_KEY = re.compile(r"(?P<layer>.+)\.(?P<part>lora_A|lora_B|lora_down|lora_up)(?:\.default)?\.weight")
_IS_DOWN = {"lora_A": True, "lora_down": True, "lora_B": False, "lora_up": False}


@dataclass(frozen=True)
class LowRank:
    """The change of one layer: `up` (out, rank) times `down` (rank, in) times `scale`."""

    down: Tensor
    up: Tensor
    scale: float

    def weight(self) -> Tensor:
        """The whole change, (out, in), float32."""
        return (self.up.float() @ self.down.float()) * self.scale


def read_lora(state_dict: Mapping[str, Tensor], *, alpha: float, source: str) -> dict[str, LowRank]:
    """Sorts the tensors of a LoRA file by layer, and warns of those that no LoRA has.

    Args:
        state_dict: the file's content.
        alpha: strength, multiplied with the file's own alpha / rank where it has one.
        source: what to call the file in an error.

    Raises:
        ValueError: the file holds no LoRA, or half of a layer's pair; or `alpha` is no number.
    """
    check_number("alpha", alpha)
    halves: dict[str, dict[bool, Tensor]] = {}
    for key, tensor in state_dict.items():
        match = _KEY.fullmatch(key)
        if match:
            halves.setdefault(match["layer"], {})[_IS_DOWN[match["part"]]] = tensor
    if not halves:
        raise ValueError(f"{source} holds no LoRA: expected keys such as blocks.0.self_attn.q.lora_A.weight")
    pairs = {}
    for layer, half in halves.items():
        if len(half) != 2:
            raise ValueError(f"{source}: {layer} has only its {'down' if True in half else 'up'} projection")
        own_alpha = state_dict.get(f"{layer}.alpha")
        scale = alpha if own_alpha is None else alpha * float(own_alpha) / half[True].shape[0]
        pairs[_without_prefix(layer)] = LowRank(half[True], half[False], scale)
    _warn_of_what_is_left_out(state_dict, halves, source)
    return pairs


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


def _without_prefix(layer: str) -> str:
    for prefix in _PREFIXES:
        layer = layer.removeprefix(prefix)
    return layer


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


@torch.no_grad()
def fuse(layers: Mapping[str, nn.Linear], pairs: Mapping[str, LowRank]) -> None:
    """Adds the changes to the weights in place, summed in float32."""
    for name, layer in layers.items():
        weight = layer.weight
        change = LowRank(pairs[name].down.to(weight.device), pairs[name].up.to(weight.device), pairs[name].scale)
        weight.copy_(weight.float() + change.weight())


class HotLora:
    """Changes added to the layers' outputs as they run; the weights stay as they are, wherever they are."""

    def __init__(self) -> None:
        self._additions: list[_Addition] = []
        self._handles: list[RemovableHandle] = []

    def add(self, layers: Mapping[str, nn.Linear], pairs: Mapping[str, LowRank]) -> None:
        """Starts adding `pairs` to `layers`."""
        for name, layer in layers.items():
            addition = _Addition(pairs[name])
            self._additions.append(addition)
            self._handles.append(layer.register_forward_hook(addition))

    def leave_device(self) -> None:
        """Gives back what the changes take where the layers ran; they are sent there again when they run next."""
        for addition in self._additions:
            addition.sent = None

    def remove(self) -> None:
        """Stops adding."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._additions.clear()


class _Addition:
    """A forward hook that adds one layer's change, on the device and in the dtype of the input."""

    def __init__(self, pair: LowRank) -> None:
        self.pair = pair
        self.sent: LowRank | None = None

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        tokens = args[0]
        pair = self.sent
        if pair is None or pair.down.device != tokens.device or pair.down.dtype != tokens.dtype:
            down, up = (half.to(device=tokens.device, dtype=tokens.dtype) for half in (self.pair.down, self.pair.up))
            pair = self.sent = LowRank(down, up, self.pair.scale)
        return output + nn.functional.linear(nn.functional.linear(tokens, pair.down), pair.up) * pair.scale
