"""From the files that a caller names to networks that run: recognised, built, filled, and put under memory control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from diffsynth.core.loader import Checkpoint, DictSource, ModelConfig, WeightSource, build_on_meta, detect, fill
from diffsynth.core.progress import progress_bar
from diffsynth.core.vram import ManagedWeights, manage_vram, parse_vram_config


@dataclass(frozen=True)
class LoadedModel:
    """One network of a pipeline.

    Attributes:
        name: what it is, such as ``wan_video_dit``.
        module: the network, in eval mode.
        dtype: the type it computes in.
        weights: its memory manager, or None where the weights simply stay on the device.
        source, key_map: where each parameter came from, for reading it again.
    """

    name: str
    module: nn.Module
    dtype: torch.dtype
    weights: ManagedWeights | None
    source: WeightSource
    key_map: Mapping[str, str]


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
        table: the known models, such as `diffsynth.models.model_configs.MODEL_CONFIGS`.
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
            weights = None
            if policy is None:
                fill(module, source, entry.key_map, dtype=torch_dtype, device=device)
            else:
                weights = manage_vram(module, source, entry.key_map, policy, vram_limit)
            dtype = torch_dtype if policy is None else policy.computation.dtype
            loaded.append(LoadedModel(entry.model_name, module, dtype, weights, source, entry.key_map))
    return loaded


def _open(config: ModelConfig) -> WeightSource:
    resolved = config.download_if_necessary()
    if resolved.state_dict is not None:
        return DictSource(resolved.state_dict)
    paths = [resolved.path] if isinstance(resolved.path, str) else list(resolved.path)
    return Checkpoint(paths)
