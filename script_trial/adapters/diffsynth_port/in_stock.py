"""What many scripts load alike: networks without weights, and the places of tensors in files that are made up."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from diffsynth.core.loader import checkpoint
from diffsynth.core.loader.build import build_on_meta
from diffsynth.core.loader.checkpoint import safetensors_spans
from diffsynth.core.loader.detection import ModelEntry
from diffsynth.core.loader.file_source import ByteSpan, FileSource
from diffsynth.core.loader.torch_file import torch_source
from diffsynth.core.loader.weight_source import WeightSource
from diffsynth.diffusion import loaded_model
from script_trial.adapter import TrialOfAdapter
from script_trial.counts import tensors_in
from script_trial.stock import Stock

#: Class, its arguments, units of memory control, and the type that floating-point tensors have by default.
_Network = tuple[str, Mapping[str, Any], tuple[str, ...], torch.dtype]

#: Path, bytes, and when it was written.
_File = tuple[str, int, int]


class _ComputesError(Exception):
    """Something is computed where only shapes should be."""


class _ShapesAlone(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises _ComputesError where an operator has a tensor that is not on the meta device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not all(tensor.is_meta for tensor in tensors_in(args, kwargs, result)):
            raise _ComputesError(func)
        return result


def _built(key: _Network) -> nn.Module:
    model_class, kwargs, vram_units, _ = key
    return build_on_meta(ModelEntry("", model_class, kwargs, vram_units=vram_units))


def _built_before(key: _Network) -> nn.Module:
    """Raises _ComputesError: what it computes is the script's work, and counted there."""
    *_, by_default = key
    before = torch.get_default_dtype()
    torch.set_default_dtype(by_default)  # as it is in the script
    try:
        with _ShapesAlone():  # type: ignore[no-untyped-call]
            return _built(key)
    finally:
        torch.set_default_dtype(before)


def _places(key: _File) -> Mapping[str, ByteSpan] | None:
    """None for a file of torch.save that is not read tensor by tensor."""
    path, _, _ = key
    if path.endswith(checkpoint.SAFETENSORS):
        return safetensors_spans(path)
    source = torch_source(path)
    return source.spans if isinstance(source, FileSource) else None


_networks = Stock("networks", _built, _built_before)
_files = Stock("files", _places, _places, is_shared=True)


def fill(made_up: Path) -> None:
    """Makes what scripts have needed so far, before the next one is forked."""
    _networks.fill(made_up)
    _files.fill(made_up)


def take_from_stock(trial: TrialOfAdapter) -> None:
    """From now on the loader takes what is there already."""

    def network(entry: ModelEntry) -> nn.Module:
        key = (entry.model_class, dict(entry.kwargs), entry.vram_units, torch.get_default_dtype())
        return _networks.take(key, trial.made_up)

    def places(path: str) -> Mapping[str, ByteSpan] | None:
        about = os.stat(path)
        return _files.take((path, about.st_size, about.st_mtime_ns), trial.made_up)

    def source(path: str) -> WeightSource:
        found = places(path) if _is_made_up(path, trial) else None
        return torch_source(path) if found is None else FileSource(path, found)

    def spans(path: str) -> Mapping[str, ByteSpan]:
        found = places(path) if _is_made_up(path, trial) else None
        return safetensors_spans(path) if found is None else found

    for holder, name, taken in (
        (loaded_model, "build_on_meta", network),
        (checkpoint, "torch_source", source),
        (checkpoint, "safetensors_spans", spans),
    ):
        setattr(holder, name, _in_place_of(getattr(holder, name), taken))


def _in_place_of(own: Callable[..., Any], taken: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(own)(taken)


def _is_made_up(path: str, trial: TrialOfAdapter) -> bool:
    return Path(path).is_relative_to(trial.made_up)
