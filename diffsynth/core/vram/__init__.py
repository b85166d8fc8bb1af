"""Device memory under control: a model's weights on disk or on the host, on the device as they are needed."""

from diffsynth.core.vram.managed import ManagedWeights, VramError
from diffsynth.core.vram.origins import BytesMoved
from diffsynth.core.vram.policy import OnDisk, Placement, VramConfigError, VramPolicy, parse_vram_config
from diffsynth.core.vram.unit_state import State

__all__ = [
    "BytesMoved",
    "ManagedWeights",
    "OnDisk",
    "Placement",
    "State",
    "VramConfigError",
    "VramError",
    "VramPolicy",
    "parse_vram_config",
]
