"""From what callers write for a device to an index."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

Device: TypeAlias = "torch.device | str | int | None"


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """Index of an npu device given as index, string, ``torch.device``, or None for the current one.

    Raises:
        ValueError: the device is no npu, or None where it must be named.
    """
    if isinstance(device, int):
        return device
    if isinstance(device, str):
        device = torch.device(device)
    if isinstance(device, torch.device):
        if device.type == "cpu" and allow_cpu:
            return -1
        if device.type != "npu":
            raise ValueError(f"Expected a npu device, but got: {device}")
        if device.index is not None:
            return device.index
    elif device is not None:
        device = getattr(device, "idx", None)
        if isinstance(device, int):
            return device
    if device is None and not optional:
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got: {device}")
    return current_device()


def current_device() -> int:
    """Index of the current device."""
    return torch.accelerator.current_device_index()
