"""Whether automatic mixed precision can be had at all, as torch_npu.npu.amp.common says it."""

from __future__ import annotations


def amp_definitely_not_available() -> bool:
    """False: the device is there once the emulator is enabled."""
    return False
