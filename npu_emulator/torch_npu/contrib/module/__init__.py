"""Modules that stand in for torch's, or wrap a fused operator."""

from __future__ import annotations

from .attention import Matmul_transpose, MultiheadAttention
from .convolutions import (
    ChannelShuffle,
    Conv,
    Focus,
    IndexSelectFullImplementation,
    IndexSelectHalfImplementation,
    ModulatedDeformConv,
    autopad,
    fast_slice,
    indexselect_full_implementation_forward,
    indexselect_half_implementation_forward,
)
from .dropout import DropoutWithByteMask, NpuCachedDropout, NpuDropPath, NpuFairseqDropout
from .layers import BiLSTM, LabelSmoothingCrossEntropy, Mish, SiLU, Swish
from .prefetcher import Prefetcher
from .quantized import LinearA8W8Quant, LinearQuant, LinearWeightQuant, QuantConv2d
from .regions import PSROIPool, ROIAlign

DCNv2 = ModulatedDeformConv

__all__ = [
    "BiLSTM",
    "ChannelShuffle",
    "Conv",
    "DCNv2",
    "DropoutWithByteMask",
    "Focus",
    "IndexSelectFullImplementation",
    "IndexSelectHalfImplementation",
    "LabelSmoothingCrossEntropy",
    "LinearA8W8Quant",
    "LinearQuant",
    "LinearWeightQuant",
    "Matmul_transpose",
    "Mish",
    "ModulatedDeformConv",
    "MultiheadAttention",
    "NpuCachedDropout",
    "NpuDropPath",
    "NpuFairseqDropout",
    "PSROIPool",
    "Prefetcher",
    "QuantConv2d",
    "ROIAlign",
    "SiLU",
    "Swish",
    "autopad",
    "fast_slice",
    "indexselect_full_implementation_forward",
    "indexselect_half_implementation_forward",
]
