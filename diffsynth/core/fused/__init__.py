"""What networks compute beside matmuls, attention and convolutions, in as few passes as a device can."""

from diffsynth.core.fused.choice import (
    FusedOperatorsError,
    RMSNorm,
    added_rms_normed,
    fused_operators,
    gated,
    gelu_of_linear,
    modulated,
    normed_and_activated,
    normed_and_rotated,
    operators_of,
    rms_normed,
    swiglu,
    use_fused,
    warm_up,
)

__all__ = [
    "FusedOperatorsError",
    "RMSNorm",
    "added_rms_normed",
    "fused_operators",
    "gated",
    "gelu_of_linear",
    "modulated",
    "normed_and_activated",
    "normed_and_rotated",
    "operators_of",
    "rms_normed",
    "swiglu",
    "use_fused",
    "warm_up",
]
