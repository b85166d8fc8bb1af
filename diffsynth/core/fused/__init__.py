"""What a transformer computes beside matmuls and attention, in as few passes over its tokens as a device can."""

from diffsynth.core.fused.choice import (
    FusedOperatorsError,
    fused_operators,
    gated,
    gelu_of_linear,
    modulated,
    normed_and_rotated,
)

__all__ = [
    "FusedOperatorsError",
    "fused_operators",
    "gated",
    "gelu_of_linear",
    "modulated",
    "normed_and_rotated",
]
