"""Which hardware line an accelerator is of."""

from __future__ import annotations

import os
from typing import Any

from npu_compat.accelerators import Accelerator
from npu_compat.detection import is_emulated

# How a card's name, as get_device_name gives it, begins on each line.
_CARDS = {
    "Ascend910B": "atlas-a2",
    "Ascend910_93": "atlas-a3",
    "Ascend950": "ascend-950dt",
    "Ascend910": "atlas-910",
    "Ascend310P": "atlas-310p",
    "Ascend310B": "atlas-200i-a2",
}


def hardware_line(accelerator: Accelerator, module: Any) -> str | None:
    """The line of the current device; asks the device, so only once a program has used it.

    Args:
        accelerator: the table in force.
        module: the accelerator's module, such as ``torch.npu``.
    """
    if accelerator.default_hardware is None:
        return None
    if is_emulated():
        return os.environ.get("NPU_EMULATOR_HARDWARE", accelerator.default_hardware)
    try:
        card = module.get_device_name()
    except Exception:  # no device to ask; the line only makes a message more precise
        return accelerator.default_hardware
    return next((line for prefix, line in _CARDS.items() if card.startswith(prefix)), accelerator.default_hardware)
