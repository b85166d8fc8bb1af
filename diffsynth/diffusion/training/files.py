"""The files that a training script is told on its command line: its data set, and its models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diffsynth.core.data.frames import FrameSize
from diffsynth.core.data.media_dataset import MediaDataset
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.diffusion.training.arguments import names, split_task
from diffsynth.diffusion.training.errors import TrainingError

# A model has some of these.
_DECIDE_WHAT_IS_ENCODED = (
    "height", "width", "max_pixels", "num_frames", "torch_dtype", "data_file_keys", "extra_inputs",
)  # fmt: skip


def media_dataset(
    args: argparse.Namespace,
    size: FrameSize,
    *,
    needed: Sequence[str] = (),
    sizes: Mapping[str, FrameSize] | None = None,
    lists: Sequence[str] = (),
) -> MediaDataset:
    """The images and videos of the metadata file.

    Args:
        size: of those that `sizes` says nothing of.
        needed: columns in which every row has to name a file.
        sizes: by column.
        lists: columns that may name several.

    Raises:
        TrainingError: no metadata file is named.
        DatasetError: see `MediaDataset`.
    """
    if args.dataset_metadata_path is None:
        raise TrainingError(f"--task {args.task} needs --dataset_metadata_path")
    return MediaDataset(
        args.dataset_base_path, args.dataset_metadata_path,
        file_keys=tuple(dict.fromkeys([*names(args.data_file_keys), *needed])), size=size, needed=needed, sizes=sizes,
        lists=lists, repeat=args.dataset_repeat, on_bad_sample=args.on_bad_sample,
    )  # fmt: skip


def encoding_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What encoded samples depend on: they are good for another run that has the same."""
    settings = {flag: getattr(args, flag) for flag in _DECIDE_WHAT_IS_ENCODED if hasattr(args, flag)}
    return {"task": split_task(args.task)[0], "metadata": str(args.dataset_metadata_path), **settings}


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
