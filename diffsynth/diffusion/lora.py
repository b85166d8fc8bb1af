"""LoRA at work: changes fused into the weights, or added as the layers run; and both taken off again."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diffsynth.diffusion.loaded_model import LoadedModel
from diffsynth.diffusion.lora_file import LowRank


@torch.no_grad()
def fuse(layers: Mapping[str, nn.Linear], pairs: Mapping[str, LowRank]) -> None:
    """Adds the changes to the weights in place, summed in float32."""
    for name, layer in layers.items():
        weight = layer.weight
        change = LowRank(pairs[name].down.to(weight.device), pairs[name].up.to(weight.device), pairs[name].scale)
        weight.copy_(weight.float() + change.weight())


class FusedLora:
    """Changes that are in a network's weights, and what those were before, to the bit.

    A weight that is still its file's is read from there again; of any other, a copy is kept on the host.
    """

    def __init__(self, network: LoadedModel) -> None:
        self._network = network
        self._before: dict[str, _Before] = {}
        self._overwritten: set[str] = set()

    def add(self, layers: Mapping[str, nn.Linear], pairs: Mapping[str, LowRank]) -> None:
        """Fuses `pairs` into `layers`, on top of what was fused before."""
        for name, layer in layers.items():
            if name in self._before and self._before[name].was_overwritten(layer.weight):
                self._overwritten.add(name)
                del self._before[name]
            if name not in self._before:
                from_file = self._network.is_as_loaded(name)
                copy = None if from_file else layer.weight.detach().to("cpu", copy=True)
                self._before[name] = _Before(layer.weight.dtype, copy)
            fuse({name: layer}, pairs)
            self._before[name].note(layer.weight)

    @torch.no_grad()
    def remove(self) -> None:
        """Puts back what was there before. A weight that somebody has written since stays, with a warning.

        Raises what reading the file raises; the layers that are not back yet can then be tried again.
        """
        for name, before in list(self._before.items()):
            weight = self._network.module.get_submodule(name).weight
            if before.was_overwritten(weight):
                self._overwritten.add(name)
            elif before.copy is None:
                self._network.read_again(name, before.dtype)
            else:
                weight.copy_(before.copy)
            del self._before[name]
        if self._overwritten:
            names = sorted(self._overwritten)
            warnings.warn(
                f"clear_lora leaves {len(names)} layers as others have written them after a LoRA was loaded "
                f"({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})",
                stacklevel=3,
            )


@dataclass
class _Before:
    """One weight before its first change: its type, and a copy on the host, or None where its file has it; and what was
    written."""

    dtype: torch.dtype
    copy: Tensor | None
    _weight: weakref.ref[Tensor] | None = None
    _version: int = 0

    def note(self, weight: Tensor) -> None:
        """This is how the change has left the weight."""
        self._weight, self._version = weakref.ref(weight), weight._version

    def was_overwritten(self, weight: Tensor) -> bool:
        """Whether the same weight was written after that; one that was moved to another device was not."""
        return self._weight is not None and self._weight() is weight and self._version != weight._version


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
