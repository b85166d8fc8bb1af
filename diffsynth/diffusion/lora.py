"""LoRA at work: changes fused into the weights, or added as the layers run, by name; and all of it taken off again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diffsynth.core.caller import warn_caller
from diffsynth.diffusion.loaded_model import LoadedModel, ParameterState
from diffsynth.diffusion.lora_file import LowRank


@torch.no_grad()
def fuse(layer: nn.Linear, pair: LowRank) -> None:
    """Adds a change to a layer's weights in place, summed in float32."""
    pair = pair.to(layer.weight.device)
    layer.weight.copy_(layer.weight.float() + pair.weight())
    if pair.bias is not None:
        layer.bias.copy_(layer.bias.float() + pair.bias.float())


class FusedLora:
    """Changes that are in a network's weights, and what those were before, to the bit.

    Some stay until all are taken off; upon these, adapters are merged, and go again on their own. A weight that is
    still its file's is read from there again; of any other, a copy is kept on the host.
    """

    def __init__(self, network: LoadedModel) -> None:
        self._network = network
        self._before: dict[str, _Before] = {}  # by parameter
        self._staying: dict[str, list[LowRank]] = {}  # by layer
        self._merged: dict[str, list[LowRank]] = {}
        self._overwritten: set[str] = set()

    def add(self, pairs: Mapping[str, LowRank]) -> None:
        """Fuses changes to stay, on top of what was fused before, and below what is merged."""
        for layer, pair in pairs.items():
            self._forget_what_others_wrote(layer)
            self._staying.setdefault(layer, []).append(pair)
            if layer in self._merged:
                self._write_anew(layer, self._merged[layer])
            else:
                self._fuse(layer, [pair])

    def merge(self, adapters: Iterable[Mapping[str, LowRank]]) -> None:
        """Fuses adapters in the place of those that are merged, or with none takes these off.

        Raises what reading the file raises; the layers that are not done yet can then be tried again.
        """
        asked: dict[str, list[LowRank]] = {}
        for pairs in adapters:
            for layer, pair in pairs.items():
                asked.setdefault(layer, []).append(pair)
        written: set[str] = set()
        for layer in dict.fromkeys([*self._merged, *asked]):
            if self._forget_what_others_wrote(layer):
                written.add(layer)
            if layer in self._merged:
                self._write_anew(layer, asked.get(layer, []))
            else:
                self._fuse(layer, asked.get(layer, []))
            self._merged[layer] = asked.get(layer, [])
        self._merged = asked
        _tell_what_others_wrote(written, "unfuse_lora")

    def keep_merged(self) -> None:
        """What is merged now stays."""
        for layer, pairs in self._merged.items():
            self._staying.setdefault(layer, []).extend(pairs)
        self._merged = {}

    def remove(self) -> None:
        """Puts back what was there before. A weight that somebody has written since stays, with a warning.

        Raises what reading the file raises; the layers that are not back yet can then be tried again.
        """
        for layer in dict.fromkeys(name.rpartition(".")[0] for name in list(self._before)):
            self._forget_what_others_wrote(layer)
            self._restore(layer)
            self._staying.pop(layer, None)
            self._merged.pop(layer, None)
        _tell_what_others_wrote(self._overwritten, "clear_lora")

    def _fuse(self, layer: str, pairs: list[LowRank]) -> None:
        module: nn.Linear = self._network.module.get_submodule(layer)  # type: ignore[assignment]
        for pair in pairs:
            names = [f"{layer}.weight", *([] if pair.bias is None else [f"{layer}.bias"])]
            for name in names:
                if name not in self._before:
                    parameter = self._network.module.get_parameter(name)
                    from_file = self._network.is_as_loaded(name)
                    copy = None if from_file else parameter.detach().to("cpu", copy=True)
                    self._before[name] = _Before(parameter.dtype, copy)
            fuse(module, pair)
            for name in names:
                self._before[name].changed = ParameterState(self._network.module.get_parameter(name))

    def _write_anew(self, layer: str, merged: list[LowRank]) -> None:
        self._restore(layer)
        self._fuse(layer, [*self._staying.get(layer, []), *merged])

    @torch.no_grad()
    def _restore(self, layer: str) -> None:
        for name in self._parameters(layer):
            before = self._before[name]
            if before.copy is None:
                self._network.read_again(name, before.dtype)
            else:
                self._network.module.get_parameter(name).copy_(before.copy)
            del self._before[name]

    def _forget_what_others_wrote(self, layer: str) -> bool:
        """Whether somebody has written the layer since. It is then as if it had been so before the first change."""
        names = self._parameters(layer)
        changed = {name: self._before[name].changed for name in names}
        if not any(
            one and one.was_overwritten(self._network.module.get_parameter(name)) for name, one in changed.items()
        ):
            return False
        self._overwritten.add(layer)
        for name in names:
            del self._before[name]
        self._staying.pop(layer, None)
        self._merged.pop(layer, None)
        return True

    def _parameters(self, layer: str) -> list[str]:
        return [name for name in (f"{layer}.weight", f"{layer}.bias") if name in self._before]


def _tell_what_others_wrote(layers: set[str], by: str) -> None:
    if layers:
        names = sorted(layers)
        warn_caller(
            f"{by} leaves {len(names)} layers as others have written them after a LoRA was loaded "
            f"({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        )


@dataclass
class _Before:
    """One weight before its first change: its type, and a copy on the host, or None where its file has it; and how the
    last change has left it."""

    dtype: torch.dtype
    copy: Tensor | None
    changed: ParameterState | None = None


class HotLora:
    """Changes added to the layers' outputs as they run; the weights stay as they are, wherever they are.

    Attributes:
        weight: what the changes are multiplied with.
    """

    def __init__(self) -> None:
        self.weight = 1.0
        self._additions: list[_Addition] = []
        self._handles: list[RemovableHandle] = []

    def add(self, layers: Mapping[str, nn.Linear], pairs: Mapping[str, LowRank]) -> None:
        """Starts adding `pairs` to `layers`."""
        for name, layer in layers.items():
            addition = _Addition(self, pairs[name])
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

    def __init__(self, lora: HotLora, pair: LowRank) -> None:
        self.lora = lora
        self.pair = pair
        self.sent: LowRank | None = None

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        tokens = args[0]
        pair = self.sent
        if pair is None or pair.down.device != tokens.device or pair.down.dtype != tokens.dtype:
            pair = self.sent = self.pair.to(tokens.device, tokens.dtype)
        change = nn.functional.linear(nn.functional.linear(tokens, pair.down), pair.up)
        output = output + change * (pair.scale * self.lora.weight)
        return output if pair.bias is None else output + pair.bias * self.lora.weight


@dataclass
class Adapter:
    """A LoRA that has been loaded under a name.

    Attributes:
        weight: what it is multiplied with.
        active: whether it counts.
        merged: the strength with which it is in the network's weights; None where it is not.
    """

    layers: Mapping[str, nn.Linear]
    pairs: Mapping[str, LowRank]
    weight: float = 1.0
    active: bool = True
    merged: float | None = None
    hot: HotLora | None = None


@dataclass(eq=False)
class NetworkLora:
    """All LoRA of one network.

    Attributes:
        fused: what is in its weights.
        adapters: by name, in the order in which they were loaded.
        enabled: False where no adapter is added.
    """

    fused: FusedLora
    adapters: dict[str, Adapter] = field(default_factory=dict)
    enabled: bool = True

    @property
    def active(self) -> list[str]:
        """Names of the adapters that count."""
        return [name for name, adapter in self.adapters.items() if adapter.active]

    @property
    def merged(self) -> list[str]:
        """Names of those that are in the network's weights."""
        return [name for name, adapter in self.adapters.items() if adapter.merged is not None]

    def activate(self, weights: Mapping[str, float]) -> None:
        """From now on these count, so much each, and no others."""
        for name, adapter in self.adapters.items():
            adapter.active = name in weights
            adapter.weight = weights.get(name, adapter.weight)
        self.refresh()

    def delete(self, names: Collection[str]) -> None:
        """Takes these off and forgets them. What of them is merged stays in the weights until all LoRA goes."""
        for name, adapter in self.adapters.items():
            adapter.active = adapter.active and name not in names
        self.refresh()
        self.adapters = {name: adapter for name, adapter in self.adapters.items() if name not in names}

    def merge(self, strengths: Mapping[str, float]) -> None:
        """Puts these adapters, so strong each, into the network's weights, besides those that are there already; with
        none, takes all of them out again."""
        merged = {name: one.merged for name, one in self.adapters.items() if strengths and one.merged is not None}
        wanted = {**merged, **strengths}
        self.fused.merge(
            {layer: pair.times(strength) for layer, pair in self.adapters[name].pairs.items()}
            for name, strength in wanted.items()
        )
        for name, adapter in self.adapters.items():
            adapter.merged = wanted.get(name)
        self.refresh()

    def refresh(self) -> None:
        """Adds what is to be added as the layers run, and nothing else."""
        for adapter in self.adapters.values():
            runs = self.enabled and adapter.active and adapter.weight != 0 and adapter.merged is None
            if adapter.hot is not None and not runs:
                adapter.hot.remove()
                adapter.hot = None
            if runs and adapter.hot is None:
                adapter.hot = HotLora()
                adapter.hot.add(adapter.layers, adapter.pairs)
            if adapter.hot is not None:
                adapter.hot.weight = adapter.weight

    def leave_device(self) -> None:
        """Gives back what adapters take where the layers ran."""
        for adapter in self.adapters.values():
            if adapter.hot is not None:
                adapter.hot.leave_device()

    def remove(self) -> None:
        """Takes all of it off; raises what reading a file raises, and can then be called again."""
        self.fused.remove()
        self.adapters.clear()
