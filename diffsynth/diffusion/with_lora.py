"""What a pipeline can do with LoRA, by DiffSynth-Studio's names and by diffusers'."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from diffsynth.core.caller import check_number
from diffsynth.core.loader.checkpoint import load_state_dict
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.diffusion.loaded_model import LoadedModel
from diffsynth.diffusion.lora import Adapter, FusedLora, NetworkLora
from diffsynth.diffusion.lora_file import (
    file_in,
    file_metadata,
    linear_layers,
    linear_names,
    named_as_in,
    read_lora,
)
from diffsynth.diffusion.turns import Turns, between_calls
from diffsynth.families.family import Family

LoraFile = str | os.PathLike[str] | ModelConfig
Weights = float | Mapping[str, float] | None
"""Of an adapter: a number, or one for each network by name; None is 1."""

# Networks that diffusers' users put a LoRA into, and what they are called here.
_NETWORKS = {"transformer": "dit", "transformer_2": "dit2"}


class WithLora:
    """The part of a pipeline that changes its networks by LoRA. Calls of other threads are waited for, and wait.

    Attributes:
        networks: by name.
    """

    family: ClassVar[Family]
    networks: dict[str, LoadedModel]
    _turns: Turns
    _network_changed: Callable[[nn.Module], None]  # is told of a network to whose layers something was hung

    def __init__(self) -> None:
        self._lora: dict[nn.Module, NetworkLora] = {}
        self._hot_by_choice: set[nn.Module] = set()

    # DiffSynth-Studio's

    @between_calls
    def load_lora(
        self,
        module: nn.Module,
        lora_config: LoraFile | None = None,
        alpha: float = 1,
        hotload: bool | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        adapter_name: str | None = None,
    ) -> None:
        """Changes one network by a LoRA, added to those it has.

        Args:
            module: the network, such as ``pipe.dit``.
            lora_config: a file, a folder with one, or a ModelConfig to find it by; or give its content as `state_dict`.
            alpha: strength.
            hotload: True adds the change as the layers run, False fuses it into the weights once. None fuses where
                the weights stay on the device, and adds where they are moved, and what has a name.
            adapter_name: for `set_adapters` and its like. What is added as the layers run has a name in any case,
                default_0 and so on.

        Raises:
            ValueError: the file is no LoRA, or one of another model, or the name is taken; nothing has changed then.
        """
        network = self._network_of(module)
        content, metadata, source = _read_lora_file(lora_config, state_dict)
        prefixes = self.family.lora_prefixes
        pairs = read_lora(content, alpha=alpha, source=source, metadata=metadata, prefixes=prefixes)
        pairs = named_as_in(module, linear_names(module), pairs)
        layers = linear_layers(module, pairs, source=source)
        if hotload is None:
            hotload = network.weights is not None or module in self._hot_by_choice or adapter_name is not None
        if not hotload:
            self._check_fusible(network, "hotload=False")
            if adapter_name is not None:
                raise ValueError("hotload=False fuses without a name: leave adapter_name out, or fuse_lora() after it")
        lora = self._lora.setdefault(module, NetworkLora(FusedLora(network)))
        if not hotload:
            lora.fused.add(pairs)
            return
        name = _new_name(adapter_name, lora.adapters)
        lora.adapters[name] = Adapter(layers, pairs)
        lora.refresh()
        self._network_changed(module)

    @between_calls
    def enable_lora_hot_loading(self, module: nn.Module) -> None:
        """From now on `load_lora` adds changes to this network as it runs, and leaves its weights alone."""
        self._network_of(module)
        self._hot_by_choice.add(module)

    @between_calls
    def clear_lora(self, module: nn.Module | None = None) -> None:
        """Takes every LoRA off again, named ones too: of one network, or of all.

        The weights are the same bits as before; those that somebody has written since stay, with a warning. Where one
        cannot be read again, that error is raised, and the rest can be taken off by another call.
        """
        for network in list(self.networks.values()) if module is None else [self._network_of(module)]:
            if network.module in self._lora:
                lora = self._lora[network.module]
                lora.delete(lora.adapters.keys())
                self._network_changed(network.module)
                lora.remove()
                del self._lora[network.module]

    # diffusers'

    @between_calls
    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: LoraFile | Mapping[str, Tensor],
        adapter_name: str | None = None,
        *,
        weight_name: str | None = None,
        subfolder: str = "",
        load_into_transformer_2: bool = False,
    ) -> None:
        """Loads an adapter into the DiT. It is the only one that counts there until `set_adapters` says otherwise.

        Args:
            pretrained_model_name_or_path_or_dict: a file, a folder, a model's id, or the content of a file.
            adapter_name: by default default_0 and so on.
            weight_name, subfolder: of the file, in the folder or model.
            load_into_transformer_2: into the second DiT.

        Raises:
            ValueError: as `load_lora`.
            RuntimeError: there is no such DiT.
        """
        name = "dit2" if load_into_transformer_2 else "dit"
        if name not in self.networks:
            raise RuntimeError(f"load_lora_weights needs the {name}, and none was loaded")
        module = self.networks[name].module
        before = set(self._lora[module].adapters) if module in self._lora else set()
        given = pretrained_model_name_or_path_or_dict
        if isinstance(given, Mapping):
            self.load_lora(module, state_dict=given, hotload=True, adapter_name=adapter_name)
        else:
            file = _file_of(given, weight_name, subfolder)
            self.load_lora(module, file, hotload=True, adapter_name=adapter_name)
        lora = self._lora[module]
        kept = {name: lora.adapters[name].weight for name in lora.merged}
        lora.activate({**kept, **{name: 1.0 for name in lora.adapters if name not in before}})
        self._network_changed(module)

    @between_calls
    def set_adapters(
        self, adapter_names: str | Sequence[str], adapter_weights: Weights | Sequence[Weights] = None
    ) -> None:
        """From now on these adapters count, and no others.

        Args:
            adapter_names: one, or several.
            adapter_weights: of all, or one for each: a number, or numbers by network, such as
                ``{"dit": 0.5, "dit2": 1.0}``; None is 1.

        Raises:
            ValueError: an adapter is unknown or merged, or a weight is no number, or there are not as many.
        """
        names = self._known_adapters(adapter_names)
        weights = _one_each(names, adapter_weights)
        self._check_none_is_merged("set_adapters")
        for weight in weights.values():
            self._networks_named(weight if isinstance(weight, Mapping) else [], keyword="adapter_weights")
        by_network = {
            network: {name: _weight_in(network, weight) for name, weight in weights.items()}
            for network in self._with_lora
        }
        for lora, wanted in zip(self._changed(by_network), by_network.values(), strict=True):
            lora.activate(wanted)

    @between_calls
    def disable_lora(self) -> None:
        """From now on no adapter counts, until `enable_lora`."""
        self._check_none_is_merged("disable_lora")
        self._enable(False)

    @between_calls
    def enable_lora(self) -> None:
        """From now on the adapters that were set count again."""
        self._enable(True)

    @between_calls
    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Takes adapters off, and forgets them.

        Raises:
            ValueError: one is unknown, or merged.
        """
        names = self._known_adapters(adapter_names)
        self._check_none_is_merged("delete_adapters", names)
        for lora in self._changed(self._with_lora):
            lora.delete(names)

    @between_calls
    def unload_lora_weights(self) -> None:
        """Forgets all adapters. What `fuse_lora` has put into the weights stays there, until `clear_lora`."""
        for lora in self._changed(self._with_lora):
            lora.fused.keep_merged()
            lora.delete(lora.adapters.keys())

    @between_calls
    def fuse_lora(
        self,
        components: Sequence[str] | None = None,
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: Sequence[str] | None = None,
    ) -> None:
        """Puts adapters into the weights, which then cost no time, until `unfuse_lora`.

        Args:
            components: networks, such as ["dit"]; None is all.
            lora_scale: what the weights of the adapters are multiplied with.
            safe_fusing: refuse adapters with values that are no numbers.
            adapter_names: None is those that count.

        Raises:
            ValueError: an adapter or a network is unknown, nothing is to be fused, or a network's weights come and go.
        """
        check_number("lora_scale", lora_scale)
        chosen = None if adapter_names is None else self._known_adapters(adapter_names)
        asked: dict[str, dict[str, float]] = {}
        for network in self._networks_named(components):
            lora = self._with_lora[network]
            names = [name for name in (lora.active if chosen is None else chosen) if name in lora.adapters]
            for name in names if safe_fusing else []:
                _check_finite(name, lora.adapters[name])
            if names:
                self._check_fusible(self.networks[network], "fuse_lora")
                asked[network] = {name: lora.adapters[name].weight * lora_scale for name in names}
        if not asked:
            raise ValueError(f"fuse_lora: no adapter is there to be fused; loaded are {self._loaded()}")
        for lora, strengths in zip(self._changed(asked), asked.values(), strict=True):
            lora.merge(strengths)

    @between_calls
    def unfuse_lora(self, components: Sequence[str] | None = None) -> None:
        """Takes adapters out of the weights again, which are the same bits as before, and adds them as layers run.

        Raises:
            ValueError: a network is unknown.
        """
        merged = [network for network in self._networks_named(components) if self._with_lora[network].merged]
        for lora in self._changed(merged):
            lora.merge({})

    @property
    def fused_loras(self) -> set[str]:
        """Names of the adapters that are in the weights of some network."""
        return {name for lora in self._with_lora.values() for name in lora.merged}

    @property
    def num_fused_loras(self) -> int:
        return len(self.fused_loras)

    def get_active_adapters(self) -> list[str]:
        """Names of the adapters that count in some network."""
        return list(dict.fromkeys(name for lora in self._with_lora.values() for name in lora.active))

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Names of the adapters of each network that has some."""
        return {network: list(lora.adapters) for network, lora in self._with_lora.items() if lora.adapters}

    def _enable(self, enabled: bool) -> None:
        for lora in self._changed(self._with_lora):
            lora.enabled = enabled
            lora.refresh()

    def _changed(self, networks: Iterable[str]) -> Iterator[NetworkLora]:
        """The LoRA of each of the networks, which is told of after it was changed."""
        for network in networks:
            yield self._with_lora[network]
            self._network_changed(self.networks[network].module)

    def _network_of(self, module: nn.Module) -> LoadedModel:
        for network in self.networks.values():
            if network.module is module:
                return network
        raise ValueError(f"{type(module).__name__} is no network of this pipeline; it has {', '.join(self.networks)}")

    @property
    def _with_lora(self) -> dict[str, NetworkLora]:
        """By name, the networks that have LoRA."""
        modules = {name: network.module for name, network in self.networks.items()}
        return {name: self._lora[module] for name, module in modules.items() if module in self._lora}

    def _networks_named(self, components: Iterable[str] | None, keyword: str = "components") -> list[str]:
        """Those of the named networks that have LoRA, by our names or diffusers'."""
        if components is None:
            return list(self._with_lora)
        names = [components] if isinstance(components, str) else list(components)
        names = [_NETWORKS.get(name, name) for name in names]
        for name in names:
            if name not in self.networks:
                raise ValueError(f"{keyword}={components!r}: expected some of {', '.join(self.networks)}")
        return [name for name in self._with_lora if name in names]

    def _known_adapters(self, adapter_names: str | Sequence[str]) -> list[str]:
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        known = {name for lora in self._with_lora.values() for name in lora.adapters}
        for name in names:
            if name not in known:
                raise ValueError(f"there is no adapter {name!r}: loaded are {self._loaded()}")
        return names

    def _loaded(self) -> str:
        return ", ".join(dict.fromkeys(name for names in self.get_list_adapters().values() for name in names)) or "none"

    def _check_none_is_merged(self, what: str, names: Iterable[str] | None = None) -> None:
        merged = sorted(self.fused_loras if names is None else self.fused_loras & set(names))
        if merged:
            raise ValueError(f"{what}: {', '.join(merged)} is fused into the weights: call unfuse_lora() first")

    @staticmethod
    def _check_fusible(network: LoadedModel, what: str) -> None:
        if network.weights is not None:
            raise ValueError(f"{what} cannot be had for a network under a vram_config: its weights come and go")


def _new_name(name: object, taken: Mapping[str, Adapter]) -> str:
    """The name, or the first default_0, default_1 and so on that is free.

    Raises:
        ValueError: it is taken, or no name.
    """
    if name is None:
        return next(free for number in range(len(taken) + 1) if (free := f"default_{number}") not in taken)
    if not isinstance(name, str) or not name:
        raise ValueError(f"adapter_name={name!r}: expected a name, or None for one that is free")
    if name in taken:
        raise ValueError(f"adapter_name={name!r} is taken: choose another, or delete_adapters({name!r}) first")
    return name


def _one_each(names: Sequence[str], weights: Weights | Sequence[Weights]) -> dict[str, Weights]:
    if weights is None or isinstance(weights, (Mapping, str)) or not isinstance(weights, Sequence):
        return dict.fromkeys(names, weights)
    if len(weights) != len(names):
        raise ValueError(f"adapter_weights has {len(weights)} values, and there are {len(names)} adapters")
    return dict(zip(names, weights, strict=True))


def _weight_in(network: str, weight: Weights) -> float:
    """An adapter's weight in one network.

    Raises:
        ValueError: it is no number; such as diffusers' weights by block, which there are not here.
    """
    if isinstance(weight, Mapping):
        by_our_names = {_NETWORKS.get(name, name): value for name, value in weight.items()}
        weight = by_our_names.get(network)
    if weight is None:
        return 1.0
    check_number("adapter_weights", weight)
    return float(weight)


def _check_finite(name: str, adapter: Adapter) -> None:
    for layer, pair in adapter.pairs.items():
        if not all(bool(half.isfinite().all()) for half in (pair.down, pair.up)):
            raise ValueError(f"fuse_lora: adapter {name!r} has values in {layer} that are no numbers")


def _file_of(given: LoraFile, weight_name: str | None, subfolder: str) -> LoraFile:
    """What `load_lora` takes: a path, or a ModelConfig of a file in a model that has to be downloaded."""
    if isinstance(given, ModelConfig) or weight_name is None:
        return Path(given, subfolder) if subfolder and not isinstance(given, ModelConfig) else given
    if Path(given).is_dir() or len(Path(given).parts) != 2:
        return Path(given, subfolder, weight_name)
    return ModelConfig(model_id=os.fspath(given), origin_file_pattern=Path(subfolder, weight_name).as_posix())


def _read_lora_file(
    lora: LoraFile | None, state_dict: Mapping[str, Tensor] | None
) -> tuple[Mapping[str, Tensor], Mapping[str, str], str]:
    """Its tensors, what it says of itself, and what to call it."""
    if lora is None and state_dict is not None:
        return state_dict, {}, "the state_dict"
    if lora is None or state_dict is not None:
        raise ValueError("load_lora takes either a file (lora_config) or its content (state_dict)")
    if isinstance(lora, ModelConfig):
        if lora.state_dict is not None:
            return lora.state_dict, {}, "the state_dict"
        files = lora.download_if_necessary().files()
        if len(files) != 1:
            raise ValueError(
                f"a LoRA is one file, and the ModelConfig names {len(files)}: {', '.join(files)}; name one"
            )
        path = files[0]
    else:
        path = os.fspath(lora)
    path = str(file_in(Path(path))) if Path(path).is_dir() else path
    return load_state_dict(path), file_metadata(path), path
