"""The type that half types are computed in."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor


@overload
def wide(tensor: Tensor) -> Tensor: ...
@overload
def wide(tensor: None) -> None: ...
def wide(tensor: Tensor | None) -> Tensor | None:
    """The tensor in float32; float64 stays."""
    if tensor is None or tensor.dtype == torch.float64:
        return tensor
    return tensor.float()
