"""What the descriptions of the operators do not take: the types, shapes and values that the hardware refuses."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from npu_emulator.errors import RefusedOnNpu
from npu_emulator.settings import enabled_with

HALVES = (torch.float16, torch.bfloat16)
FLOATS = (*HALVES, torch.float32)
MASKS = (torch.bool, torch.uint8)
# These lines have no bfloat16.
_WITHOUT_BFLOAT16 = ("atlas-910", "atlas-310p")

_enforced = True


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """Takes what the hardware does not, within the block: float64 above all, to hold a gradient against differences."""
    global _enforced
    before, _enforced = _enforced, False
    try:
        yield
    finally:
        _enforced = before


def newest_line() -> bool:
    """Is the emulated hardware Ascend 950, which takes more than the lines before it?"""
    return enabled_with().hardware.startswith("ascend-950")


def refuse(operator: str, parameter: str, found: object, expected: object) -> None:
    """Says that the hardware does not take an argument.

    Raises:
        RefusedOnNpu: unless refusals are warnings.
    """
    if not _enforced:
        return
    line = enabled_with().hardware
    message = f"{operator}: {parameter} is {found}, expected {expected} ({line}, by the operator's description)"
    if enabled_with().strict:
        raise RefusedOnNpu(message)
    warnings.warn(message, UserWarning, stacklevel=3)


def limit(fits: bool, operator: str, parameter: str, found: object, expected: object) -> None:
    """Refuses an argument that does not fit the description."""
    if not fits:
        refuse(operator, parameter, found, expected)


def types(operator: str, allowed: Sequence[torch.dtype], **tensors: Tensor | None) -> None:
    """Refuses tensors of other types; an argument that is None is left out."""
    if enabled_with().hardware in _WITHOUT_BFLOAT16:
        allowed = tuple(dtype for dtype in allowed if dtype != torch.bfloat16)
    for name, tensor in tensors.items():
        if tensor is not None and tensor.dtype not in allowed:
            refuse(operator, name, _short(tensor.dtype), " or ".join(map(_short, allowed)))


def same_type(operator: str, **tensors: Tensor | None) -> None:
    """Refuses tensors that differ in type from the first."""
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    (first, model), *others = given.items()
    for name, tensor in others:
        limit(tensor.dtype == model.dtype, operator, name, _short(tensor.dtype), f"{_short(model.dtype)} as {first}")


def dimensions(operator: str, least: int, most: int, **tensors: Tensor | None) -> None:
    """Refuses tensors of fewer or more dimensions."""
    wanted = f"{least}" if least == most else f"{least} to {most}"
    for name, tensor in tensors.items():
        if tensor is not None and not least <= tensor.dim() <= most:
            refuse(operator, name, f"{tensor.dim()}-dimensional", f"{wanted} dimensions")


def invalid(operator: str, parameter: str, found: object, expected: object) -> NoReturn:
    """Raises the error for an argument that nothing can be computed from, on any hardware."""
    raise RuntimeError(f"{operator}: {parameter} is {found}, expected {expected}")


def require(fits: bool, operator: str, parameter: str, found: object, expected: object) -> None:
    """Raises RuntimeError where nothing can be computed from an argument."""
    if not fits:
        invalid(operator, parameter, found, expected)


def one_of(operator: str, parameter: str, found: object, expected: Sequence[object]) -> None:
    """Raises RuntimeError for a value that is none of those the operator knows."""
    require(found in expected, operator, parameter, repr(found), " or ".join(map(repr, expected)))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
