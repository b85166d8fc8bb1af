"""The LoRA of one network: adapters with names and weights, added as its layers run or merged into its weights, and
changes without a name, which are fused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import nn

from diffsynth.diffusion.loaded_model import LoadedModel
from diffsynth.diffusion.lora import FusedLora, HotLora
from diffsynth.diffusion.lora_file import LowRank


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


class NetworkLora:
    """All LoRA of one network.

    Attributes:
        fused: what is in its weights.
        adapters: by name, in the order in which they were loaded.
        enabled: False where no adapter is added.
    """

    def __init__(self, network: LoadedModel) -> None:
        self.fused = FusedLora(network)
        self.adapters: dict[str, Adapter] = {}
        self.enabled = True

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
        kept = {name: adapter for name, adapter in self.adapters.items() if name not in names}
        for adapter in self.adapters.values():
            if adapter.hot is not None:
                adapter.hot.remove()
                adapter.hot = None
        self.adapters = kept
        self.refresh()

    def merge(self, strengths: Mapping[str, float]) -> None:
        """Puts these adapters, so strong each, into the network's weights, besides those that are there already; with
        none, takes all of them out again."""
        merged = {name: self.adapters[name].merged for name in self.merged if strengths}
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
