"""A model without weights, and the weights read into it: each once, and straight to where it stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diffsynth.core.loader.detection import ModelEntry, load_object
from diffsynth.core.loader.weight_source import CheckpointError, WeightSource
from diffsynth.core.progress import progress_bar


def build_on_meta(entry: ModelEntry) -> nn.Module:
    """The model, in eval mode, its tensors on the meta device: shapes without memory."""
    with torch.device("meta"), _WithoutValues():
        model: nn.Module = load_object(entry.model_class)(**entry.kwargs)
    if entry.vram_units:
        model.vram_units = entry.vram_units  # type: ignore[assignment]
    return model.eval().requires_grad_(False)


class _WithoutValues(TorchFunctionMode):
    """Leaves initial values out.

    On the meta device there is nothing to put them in, and yet drawing random ones makes torch import its compiler
    and symbolic mathematics: 70 MiB and two seconds of processor time.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@torch.no_grad()
def fill(
    model: nn.Module,
    source: WeightSource,
    key_map: Mapping[str, str],
    *,
    dtype: torch.dtype | None,
    device: str | torch.device,
) -> None:
    """Gives a model on the meta device its weights, with a progress bar of the source's bytes.

    Every parameter and persistent buffer is allocated once, at its final type and place, and read into. Parameters
    that are one stay one.

    Args:
        key_map: the source's name of each tensor, by its name in the model.
        dtype: of the floating-point tensors; None keeps the source's. Others always keep it.

    Raises:
        CheckpointError: tensors are missing, too many, or of another shape; the model is then as it was.
        ValueError: the model has a buffer that is not saved, and is on the meta device.
    """
    expected = model.state_dict(keep_vars=True)
    check_weights(model, expected, source, key_map)
    key_map = _present(source, key_map)
    bar = progress_bar(total=_bytes(source, key_map), unit="B", unit_scale=True, desc=type(model).__name__, leave=False)
    filled: dict[int, Tensor] = {}
    with bar:
        for key, tensor in expected.items():
            if id(tensor) in filled or key not in key_map:
                continue
            values = source.read(key_map[key], _dtype_of(source, key_map[key], dtype), device)
            is_parameter = isinstance(tensor, nn.Parameter)
            filled[id(tensor)] = nn.Parameter(values, requires_grad=False) if is_parameter else values
            bar.update(_bytes(source, {key: key_map[key]}))
    model.load_state_dict({key: filled[id(tensor)] for key, tensor in expected.items()}, assign=True)


def check_weights(
    model: nn.Module, expected: Mapping[str, Tensor], source: WeightSource, key_map: Mapping[str, str]
) -> None:
    """Whether the source has exactly the tensors that a model takes.

    Args:
        expected: the model's state dict, with tied tensors as one object; of those, one name is enough.

    Raises:
        CheckpointError, ValueError: as `fill`.
    """
    name, key_map = type(model).__name__, _present(source, key_map)
    unsaved = [key for key, buffer in model.named_buffers() if buffer.is_meta and key not in expected]
    if unsaved:
        raise ValueError(f"{name} makes {unsaved[0]!r} when it is built, and no file has it: make it on first use")
    found = {id(tensor) for key, tensor in expected.items() if key in key_map}
    missing = [key for key, tensor in expected.items() if id(tensor) not in found]
    surplus = [file_key for key, file_key in key_map.items() if key not in expected]
    problems = [f"lacks {len(missing)} tensors of {name}: {_some(missing)}"] * bool(missing)
    problems += [f"has {len(surplus)} tensors that {name} has not: {_some(surplus)}"] * bool(surplus)
    if problems:
        raise CheckpointError(
            f"{source.where()} {' and '.join(problems)}. Check that the files are those of this model, all of them"
        )
    for key, file_key in key_map.items():
        if source.headers[file_key].shape != tuple(expected[key].shape):
            raise CheckpointError(
                f"{source.where(file_key)}: {file_key!r} is {source.headers[file_key].shape}, and {name} takes "
                f"{tuple(expected[key].shape)}. Check that the file is of this model"
            )


def _present(source: WeightSource, key_map: Mapping[str, str]) -> dict[str, str]:
    """The part of a key map whose tensors the source has."""
    return {key: file_key for key, file_key in key_map.items() if file_key in source.headers}


def _dtype_of(source: WeightSource, key: str, dtype: torch.dtype | None) -> torch.dtype:
    own = source.headers[key].dtype
    return dtype if dtype is not None and own.is_floating_point else own


def _bytes(source: WeightSource, key_map: Mapping[str, str]) -> int:
    headers = [source.headers[key] for key in set(key_map.values())]
    return sum(torch.Size(header.shape).numel() * header.dtype.itemsize for header in headers)


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:4]) + (", ..." if len(keys) > 4 else "")
