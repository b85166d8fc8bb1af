"""Where weights come from: something that has tensors by key, and reads one into memory that the caller owns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class CheckpointError(ValueError):
    """A file cannot be read, or does not hold the weights that were asked for. The message names the file."""


class TensorHeader(NamedTuple):
    """What is known of a tensor before it is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """What the tensor takes, without gaps."""
        return math.prod(self.shape) * self.dtype.itemsize


class WeightSource(Protocol):
    """Tensors by key, read one at a time.

    Attributes:
        headers: shape and type of each tensor; reading them touched no weights.
    """

    headers: Mapping[str, TensorHeader]

    def where(self, key: str | None = None) -> str:
        """The file that holds the tensor, or every file of the source: for messages."""
        ...

    def read_into(self, key: str, out: Tensor) -> None:
        """Reads a tensor into `out`, converted to its type.

        Uses a few megabytes of host memory besides `out`, and may be called from several threads at once.

        Args:
            out: of the tensor's shape, of any type and strides, in host memory (pinned or not) or on a device.

        Raises:
            CheckpointError: no such tensor, another shape, or the file has been damaged since it was opened.
        """
        ...

    def parts(self, key: str) -> Callable[[int, Tensor], None]:
        """A function that reads some of a tensor: ``part(start, out)`` fills contiguous, 1D `out` in host memory with
        the values from number `start` on, row by row, converted to its type. Several threads may call it at once.

        Raises:
            CheckpointError: as `read_into`, here or when it is called.
        """
        return copier(self.read(key))

    def read(self, key: str, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Tensor:
        """Reads a tensor into new memory, in its own type unless `dtype` says otherwise."""
        header = self.header(key)
        out = torch.empty(header.shape, dtype=dtype or header.dtype, device=device)
        self.read_into(key, out)
        return out

    def header(self, key: str, out: Tensor | None = None) -> TensorHeader:
        """The header of a tensor, which `out` (if given) has the shape to hold.

        Raises:
            CheckpointError: no such tensor, or another shape.
        """
        if key not in self.headers:
            raise CheckpointError(f"{self.where()} has no tensor {key!r}")
        header = self.headers[key]
        if out is not None and tuple(out.shape) != header.shape:
            raise CheckpointError(f"{self.where(key)}: {key!r} is {header.shape}, and {tuple(out.shape)} was expected")
        return header


class DictSource(WeightSource):
    """Tensors that are in memory already.

    Args:
        state_dict: tensors by key; entries that are no tensors are left out.
        name: what to call it in messages.

    Raises:
        CheckpointError: it holds no tensor.
    """

    def __init__(self, state_dict: Mapping[str, object], name: str = "the state_dict") -> None:
        self._tensors = {key: value.detach() for key, value in state_dict.items() if isinstance(value, Tensor)}
        self._name = name
        if not self._tensors:
            raise CheckpointError(f"{name} holds no tensors: expected a state dict, tensors by name")
        self.headers = {key: TensorHeader(tuple(value.shape), value.dtype) for key, value in self._tensors.items()}

    def where(self, key: str | None = None) -> str:
        return self._name

    def read_into(self, key: str, out: Tensor) -> None:
        self.header(key, out)
        _copy(self._tensors[key], out)


@torch.no_grad()
def _copy(values: Tensor, out: Tensor) -> None:
    out.copy_(values)


def copier(values: Tensor) -> Callable[[int, Tensor], None]:
    """What `WeightSource.parts` returns, of values in memory."""
    flat = values.view(-1)
    return lambda start, out: _copy(flat[start : start + out.numel()], out)
