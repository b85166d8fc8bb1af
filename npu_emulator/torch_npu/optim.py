"""Fused optimizers under torch_npu's names."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["NpuFusedAdam", "NpuFusedAdamW", "NpuFusedSGD"]


class NpuFusedAdamW(torch.optim.AdamW):
    """AdamW whose step is one fused call."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options, fused=True)


class NpuFusedAdam(torch.optim.Adam):
    """Adam whose step is one fused call."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options, fused=True)


class NpuFusedSGD(torch.optim.SGD):
    """SGD whose step is one fused call."""

    def __init__(self, params: Any, lr: float, **options: Any) -> None:
        super().__init__(params, lr, **options, fused=True)
