"""Whether a product is right."""

from __future__ import annotations

import torch
from torch import Tensor


def _matmul_checksum(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Whether ``c`` is not ``a @ b``, beyond what rounding to its type explains: a bool tensor, [].

    Sums of rows are compared, as on hardware: c @ 1 with a @ (b @ 1), in float32.
    """
    wide_a, wide_b, wide_c = (tensor.float() for tensor in (a, b, c))
    expected = (wide_a @ wide_b.sum(-1, keepdim=True)).squeeze(-1)
    scale = (wide_a.abs() @ wide_b.abs().sum(-1, keepdim=True)).squeeze(-1)
    return torch.any((wide_c.sum(-1) - expected).abs() > scale * torch.finfo(c.dtype).eps + torch.finfo(c.dtype).tiny)
