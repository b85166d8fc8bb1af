"""torch_npu's fused optimizers."""

from __future__ import annotations

from .adam import NpuFusedAdam, NpuFusedAdamP, NpuFusedAdamW
from .base import NpuFusedOptimizerBase
from .bert import NpuFusedBertAdam, NpuFusedLamb
from .rmsprop import NpuFusedAdadelta, NpuFusedRMSprop, NpuFusedRMSpropTF
from .sgd import NpuFusedSGD

__all__ = [
    "NpuFusedAdadelta",
    "NpuFusedAdam",
    "NpuFusedAdamP",
    "NpuFusedAdamW",
    "NpuFusedBertAdam",
    "NpuFusedLamb",
    "NpuFusedOptimizerBase",
    "NpuFusedRMSprop",
    "NpuFusedRMSpropTF",
    "NpuFusedSGD",
]
