"""From the files that a caller names to networks that run: recognised, built, filled, and put under memory control."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn

from diffsynth.core.caller import is_number
from diffsynth.core.loader import Checkpoint, DictSource, ModelConfig, WeightSource, build_on_meta, detect, fill
from diffsynth.core.progress import progress_bar
from diffsynth.core.vram import (
    ManagedWeights,
    Placement,
    VramConfigError,
    VramPolicy,
    parse_vram_config,
)

Network = TypeVar("Network", bound=nn.Module)


def unwrapped(network: Network) -> Network:
    """The network itself, where an engine that trains it has put a wrapper around it."""
    own: Network = getattr(network, "module", network)
    return own


@dataclass(frozen=True)
class LoadedModel:
    """One network of a pipeline.

    Attributes:
        name: what it is, such as ``wan_video_dit``.
        module: the network, in eval mode.
        dtype: the type it computes in.
        weights: its memory manager, or None where the weights simply stay on the device.
        source, key_map: where each parameter came from, for reading it again.
        as_loaded: which state of each parameter is that of its file.
        starts_empty: whether its config asked for `clear_parameters`.
    """

    name: str
    module: nn.Module
    dtype: torch.dtype
    weights: ManagedWeights | None
    source: WeightSource
    key_map: Mapping[str, str]
    as_loaded: dict[str, ParameterState] = field(default_factory=dict)
    starts_empty: bool = False

    @property
    def cleared(self) -> bool:
        """Whether it has no weights to compute with: nobody has given it any since it was loaded without."""
        return self.starts_empty and any(parameter.is_meta for parameter in self.module.parameters())

    def is_as_loaded(self, name: str) -> bool:
        """Whether nobody has written the parameter, or moved it, since it came from its file."""
        return name in self.as_loaded and self.as_loaded[name].is_state_of(self.module.get_parameter(name))

    @torch.no_grad()
    def read_again(self, name: str, dtype: torch.dtype) -> None:
        """Fills the parameter from its file, through the type that it was loaded in."""
        parameter = self.module.get_parameter(name)
        weight = parameter.data
        read = weight if weight.dtype == dtype else torch.empty_like(weight, dtype=dtype)
        self.source.read_into(self.key_map[name], read)
        if read is not weight:
            weight.copy_(read)
        if weight.dtype == dtype:
            self.as_loaded[name] = ParameterState(parameter)


class ParameterState:
    """One moment in a parameter's life, without keeping it alive."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self._parameter = weakref.ref(parameter)
        self._version, self._memory = parameter._version, parameter.data_ptr()

    def is_state_of(self, parameter: nn.Parameter) -> bool:
        """Whether the parameter is still the same, and has the same memory with nothing new written to it."""
        is_same = self._parameter() is parameter and self._memory == parameter.data_ptr()
        return is_same and self._version == parameter._version

    def was_overwritten(self, parameter: nn.Parameter) -> bool:
        """Whether the same parameter was written since; one that was moved to another device was not."""
        return self._parameter() is parameter and self._version != parameter._version


def load_models(
    configs: Sequence[ModelConfig],
    *,
    table: Sequence[Mapping[str, object]],
    torch_dtype: torch.dtype,
    device: torch.device,
    vram_limit: float | None,
) -> list[LoadedModel]:
    """Loads every network that the files of `configs` hold, in their order. The configs are not changed.

    Args:
        table: the known models, such as `diffsynth.families.MODEL_CONFIGS`.
        vram_limit: GiB of device memory in use above which a managed network's weights stay off the device.
    """
    loaded = []
    for config in progress_bar(configs, desc="loading models", leave=False):
        source = _open(config)
        for entry in detect(source, table):
            policy = parse_vram_config(
                config.vram_config(), torch_dtype=torch_dtype, device=device, model=entry.model_name
            )
            module = build_on_meta(entry)
            key_map = entry.key_map(module)
            weights, dtype, starts_empty = None, torch_dtype, config.clear_parameters and policy is None
            if config.clear_parameters:
                _check_nothing_is_held(policy, entry.model_name)
            if policy is not None:
                weights, dtype = ManagedWeights(module, source, key_map, policy, vram_limit), policy.computation.dtype
            elif not starts_empty:
                fill(module, source, key_map, dtype=torch_dtype, device=device)
            own = module.named_parameters() if weights is None else ()
            states = {name: ParameterState(each) for name, each in own if not each.is_inference()}
            loaded.append(LoadedModel(entry.model_name, module, dtype, weights, source, key_map, states, starts_empty))
    return loaded


def check_settings(model_configs: object, torch_dtype: object, vram_limit: object, **folders: object) -> None:
    """Raises TypeError where a setting of `from_pretrained` is of another kind altogether.

    Args:
        folders: by keyword, what is a ModelConfig or None.
    """
    if not isinstance(model_configs, Sequence) or not all(isinstance(one, ModelConfig) for one in model_configs):
        raise TypeError('model_configs: expected a list of ModelConfig, such as [ModelConfig(path="file.safetensors")]')
    for name, folder in folders.items():
        if folder is not None and not isinstance(folder, ModelConfig):
            raise TypeError(f'{name}={folder!r}: expected a ModelConfig, such as ModelConfig(path="folder/")')
    if not isinstance(torch_dtype, torch.dtype) or not torch_dtype.is_floating_point:
        raise TypeError(f"torch_dtype={torch_dtype!r}: expected a floating type such as torch.bfloat16")
    if torch_dtype.itemsize == 1:
        raise TypeError(
            f"torch_dtype={torch_dtype} is a type for storage, and nothing computes in it: write torch.bfloat16, and "
            "float8 as the onload_dtype and preparing_dtype of a ModelConfig"
        )
    if vram_limit is not None and (not is_number(vram_limit) or math.isnan(vram_limit)):
        raise TypeError(f"vram_limit={vram_limit!r}: expected a number of GiB, or None for no limit")


def _open(config: ModelConfig) -> WeightSource:
    resolved = config.download_if_necessary()
    if resolved.state_dict is not None:
        return DictSource(resolved.state_dict)
    return Checkpoint(resolved.files())


def _check_nothing_is_held(policy: VramPolicy | None, model: str) -> None:
    """Raises VramConfigError where weights that are not to be kept are to be kept in memory."""
    if policy is not None and isinstance(policy.offload, Placement):
        raise VramConfigError(
            f"vram_config of {model}: offload_device={str(policy.offload.device)!r} contradicts clear_parameters=True: "
            "leave one of them out, or offload to 'disk'"
        )
