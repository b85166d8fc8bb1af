"""The weights of a model: where its modules hold them, and under which key a source has each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffsynth.core.loader.weight_source import CheckpointError, WeightSource


class Place(NamedTuple):
    """An attribute of a module that holds a weight."""

    module: nn.Module
    name: str


@dataclass(frozen=True, eq=False)
class Weight:
    """One parameter or persistent buffer; tied parameters are one weight in several places, of a name each at least.

    Attributes:
        keys: its names in the model's state dict.
        dtype: the model's own; floating weights take that of their placement instead.
    """

    keys: tuple[str, ...]
    places: tuple[Place, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype
    is_buffer: bool

    def dtype_in(self, dtype: torch.dtype) -> torch.dtype:
        """Its type in a placement of `dtype`."""
        return dtype if self.dtype.is_floating_point else self.dtype

    def bytes_in(self, dtype: torch.dtype) -> int:
        """What it takes there."""
        return math.prod(self.shape) * self.dtype_in(dtype).itemsize

    def over(self, values: Tensor) -> Tensor:
        """What the modules are to hold over this memory: a parameter without gradient, or a buffer."""
        return values if self.is_buffer else nn.Parameter(values, requires_grad=False)

    def put(self, tensor: Tensor) -> None:
        """Puts what `over` made where the modules look for the weight."""
        for module, name in self.places:
            held: dict[str, Tensor] = module._buffers if self.is_buffer else module._parameters  # type: ignore[assignment]
            held[name] = tensor


def weights_of(model: nn.Module) -> list[Weight]:
    """Distinct parameters and persistent buffers, in the order in which they are registered."""
    found: dict[Tensor, dict[str, Place]] = {}
    # As in a state dict, what lies in a module of several names has several too.
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, tensor in own_tensors(module).items():
            found.setdefault(tensor, {})[f"{prefix}.{name}" if prefix else name] = Place(module, name)
    return [
        Weight(
            keys=tuple(places),
            places=tuple(dict.fromkeys(places.values())),
            shape=tuple(tensor.shape),
            dtype=tensor.dtype,
            is_buffer=not isinstance(tensor, nn.Parameter),
        )
        for tensor, places in found.items()
    ]


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and persistent buffers of the module itself."""
    held = {**module._parameters, **module._buffers}
    return {
        name: tensor
        for name, tensor in held.items()
        if tensor is not None and name not in module._non_persistent_buffers_set
    }


def keys_in(
    source: WeightSource, model: nn.Module, weights: Sequence[Weight], key_map: Mapping[str, str]
) -> dict[Weight, str]:
    """The source's key of each weight of the model; the source has to have exactly those that the model takes.

    Args:
        key_map: the source's key by that in the model's state dict; of tied weights, one is enough.

    Raises:
        CheckpointError: weights are missing in the source, too many, or of another shape.
        ValueError: the model has a buffer that is not saved, and is on the meta device.
    """
    name, expected = type(model).__name__, {key: weight for weight in weights for key in weight.keys}
    for key, buffer in model.named_buffers():
        if buffer.is_meta and key not in expected:
            raise ValueError(f"{name} makes {key!r} when it is built, and no file has it: make it on first use")
    there = {key: file_key for key, file_key in key_map.items() if file_key in source.headers}
    # Of several names of one weight the first counts.
    found = {weight: there[key] for weight in weights for key in reversed(weight.keys) if key in there}
    missing = [key for key, weight in expected.items() if weight not in found]
    surplus = [file_key for key, file_key in there.items() if key not in expected]
    problems = [f"lacks {len(missing)} tensors of {name}: {_some(missing)}"] * bool(missing)
    problems += [f"has {len(surplus)} tensors that {name} has not: {_some(surplus)}"] * bool(surplus)
    if problems:
        raise CheckpointError(
            f"{source.where()} {' and '.join(problems)}. Check that the files are those of this model, all of them"
        )
    for key, file_key in there.items():
        if source.headers[file_key].shape != expected[key].shape:
            raise CheckpointError(
                f"{source.where(file_key)}: {file_key!r} is {source.headers[file_key].shape}, and {name} takes "
                f"{expected[key].shape}. Check that the file is of this model"
            )
    return found


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:4]) + (", ..." if len(keys) > 4 else "")
