"""What networks compute beside matmuls, attention and convolutions, in as few passes as a device can."""

from diffsynth.core.fused.choice import (
    FusedOperatorsError,
    fused_operators,
    gated,
    gelu_of_linear,
    modulated,
    normed_and_activated,
    normed_and_rotated,
)
from diffsynth.core.fused.warm_up import warm_up

__all__ = [
    "FusedOperatorsError",
    "fused_operators",
    "gated",
    "gelu_of_linear",
    "modulated",
    "normed_and_activated",
    "normed_and_rotated",
    "warm_up",
]
