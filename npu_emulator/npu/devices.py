"""Devices: how many, which one is current, what they are called."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from npu_emulator.activation import enabled_with, visible_devices
from npu_emulator.npu.device_index import Device, _get_device_index, current_device

MIB = 2**20


@dataclass(frozen=True)
class _NPUDeviceProperties:
    """Properties of a device; ``total_memory`` and ``L2_cache_size`` in bytes, core counts as the line's data sheet."""

    name: str
    total_memory: int
    L2_cache_size: int
    cube_core_num: int
    vector_core_num: int


# Name, L2 cache in MiB, cube cores, vector cores. A card of each line; programs print these, none decides by them.
# AI cores of 910A and 310P3: https://github.com/Project-HAMi/ascend-device-plugin; before Atlas A2 a core is both.
_CARDS = {
    "atlas-a2": ("Ascend910B2", 192, 24, 48),
    "atlas-a3": ("Ascend910_9391", 192, 24, 48),
    "ascend-950dt": ("Ascend950DT", 128, 32, 64),
    "atlas-910": ("Ascend910A", 32, 30, 30),
    "atlas-310p": ("Ascend310P3", 16, 8, 8),
    "atlas-200i-a2": ("Ascend310B1", 16, 1, 1),
}


def is_available() -> bool:
    """True: the device exists as long as the emulator is enabled and a device is visible."""
    return device_count() > 0


def device_count() -> int:
    """Number of visible devices."""
    return visible_devices()  # not asked of the backend, since torch.compile cannot trace that


def set_device(device: Device) -> None:
    """Makes ``device`` the current one."""
    torch.accelerator.set_device_index(_get_device_index(device))


def synchronize(device: Device = None) -> None:
    """Waits for the device; work is done when a call returns, so there is nothing to wait for."""
    _get_device_index(device, optional=True)


def get_device_name(device: Device = None) -> str:
    """Name of the card, as ``torch_npu`` reports it for the hardware line."""
    return get_device_properties(device).name


def get_device_properties(device: Device = None) -> _NPUDeviceProperties:
    """Name, memory and core counts of the card."""
    index = _get_device_index(device, optional=True)
    name, cache, cubes, vectors = _CARDS[enabled_with().hardware]
    total = torch.accelerator.get_memory_info(index)[1]
    return _NPUDeviceProperties(name, total, cache * MIB, cubes, vectors)


def get_device_capability(device: Device = None) -> tuple[int, int] | None:
    """None, as an Ascend card has no such number; TORCH_NPU_DEVICE_CAPABILITY (``8.0``) makes one up."""
    _get_device_index(device, optional=True)
    asked = os.environ.get("TORCH_NPU_DEVICE_CAPABILITY")
    if not asked:
        return None
    major, _, minor = asked.partition(".")
    return int(major), int(minor or 0)


def can_device_access_peer(device_id: Device, peer_device_id: Device) -> bool:
    """Whether two devices copy to one another directly; all of one emulated machine do."""
    return _get_device_index(device_id) != _get_device_index(peer_device_id)


def is_bf16_supported() -> bool:
    """True on every line the emulator knows."""
    return True


def utilization(device: Device = None) -> int:
    """Percent of the time the device was busy: 0, because work is done when a call returns."""
    _get_device_index(device, optional=True)
    return 0


class device:
    """Context manager that makes a device the current one."""

    def __init__(self, device: Any) -> None:
        self.idx = _get_device_index(device, optional=True)
        self.prev_idx = -1

    def __enter__(self) -> None:
        self.prev_idx = current_device()
        if self.idx >= 0:
            set_device(self.idx)

    def __exit__(self, *_: object) -> None:
        set_device(self.prev_idx)


class device_of(device):
    """Context manager that makes the device of a tensor or storage the current one; nothing for a host tensor."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.device if obj.device.type == "npu" else current_device())
