"""The model files that a training script is told on its command line."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.diffusion.training.arguments import names
from diffsynth.diffusion.training.errors import TrainingError


def model_configs(args: argparse.Namespace, device: torch.device) -> list[ModelConfig]:
    """A config for each model of --model_paths and --model_id_with_origin_paths, in their order.

    Those that --fp8_models names are kept in float8, those of --offload_models are read from disk as they run; both
    compute on `device`.

    Raises:
        TrainingError: a flag is not written as it has to be, or names a model that is not among those.
    """
    settings = {name: _float8(args, device) for name in names(args.fp8_models)}
    settings.update({name: _from_disk(args, device) for name in names(args.offload_models)})
    known = [*_paths(args.model_paths), *names(args.model_id_with_origin_paths)]
    if not known:
        raise TrainingError("no model is named: give --model_paths or --model_id_with_origin_paths")
    for name in settings:
        if name not in known:
            raise TrainingError(f"--fp8_models or --offload_models: {name} is none of the models, {', '.join(known)}")
    paths = [ModelConfig(path=path, **settings.get(str(path), {})) for path in _paths(args.model_paths)]
    ids = [_published(name, settings.get(name, {})) for name in names(args.model_id_with_origin_paths)]
    return paths + ids


def published_config(name: str | None) -> ModelConfig | None:
    """The config of ``Org/Name:pattern`` or of a path; None for None."""
    if name is None:
        return None
    return _published(name, {}) if ":" in name else ModelConfig(path=name)


def _published(name: str, settings: dict[str, Any]) -> ModelConfig:
    model_id, colon, pattern = name.partition(":")
    if not colon or "/" not in model_id:
        raise TrainingError(
            f"--model_id_with_origin_paths: {name!r} is not written as Org/Name:pattern, such as "
            "Org/Name:model*.safetensors"
        )
    return ModelConfig(model_id=model_id, origin_file_pattern=pattern, **settings)


def _paths(text: str | None) -> list[Any]:
    if text is None:
        return []
    try:
        paths = json.loads(text)
    except ValueError as error:
        raise TrainingError(
            f"--model_paths: not JSON ({error}); expected a list such as '[\"a.safetensors\"]'"
        ) from error
    if not isinstance(paths, list):
        raise TrainingError(f"--model_paths: {text} is no list; expected one such as '[\"a.safetensors\"]'")
    return paths


def _float8(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    return _kept(torch.float8_e4m3fn, device) | _computed(args, device)


def _from_disk(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    return _kept("disk", "disk") | _computed(args, device)


def _kept(dtype: torch.dtype | str, device: torch.device | str) -> dict[str, Any]:
    states = ("offload", "onload", "preparing")
    return {f"{state}_{key}": value for state in states for key, value in (("dtype", dtype), ("device", device))}


def _computed(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    return {"computation_dtype": getattr(torch, args.torch_dtype), "computation_device": device}
