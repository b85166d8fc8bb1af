"""Devices: how many, which one is current, what they are called, and from what callers write for one to its index."""

from __future__ import annotations

import os
import re
import uuid
import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from npu_emulator.settings import enabled_with, visible_devices, visible_ordinals

Device: TypeAlias = "torch.device | str | int | None"
MIB = 2**20


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


def _existing(device: Any) -> int:
    """Index of a device that is there; AssertionError, as torch_npu raises, for one that is not."""
    index = _get_device_index(device, optional=True)
    if not 0 <= index < device_count():
        raise AssertionError(f"Invalid device id: {index}; there are {device_count()} devices")
    return index


def _get_device(device: torch.device | str | int) -> torch.device:
    """The ``torch.device`` of an index or a string."""
    return torch.device("npu", device) if isinstance(device, int) else torch.device(device)


def current_device() -> int:
    """Index of the current device."""
    return torch.accelerator.current_device_index()


@dataclass(frozen=True)
class _Uuid:
    """A device's identity: 16 bytes, printed in five groups."""

    bytes: tuple[int, ...]

    def __str__(self) -> str:
        return str(uuid.UUID(bytes=bytes(self.bytes)))


@dataclass(frozen=True, repr=False)
class _NPUDeviceProperties:
    """Properties of a device; ``total_memory`` and ``L2_cache_size`` in bytes, core counts as the line's data sheet.

    The fields with a default are CUDA's: torch_npu has them, and leaves them None.
    """

    name: str
    total_memory: int
    L2_cache_size: int
    cube_core_num: int
    vector_core_num: int
    uuid: _Uuid
    major: int | None = None
    minor: int | None = None
    is_multi_gpu_board: int | None = None
    is_integrated: int | None = None
    multi_processor_count: int | None = None
    max_threads_per_multi_processor: int | None = None
    warp_size: int | None = None
    regs_per_multiprocessor: int | None = None
    gcnArchName: str | None = None

    def __repr__(self) -> str:
        return (
            f"_NPUDeviceProperties(name='{self.name}', total_memory={self.total_memory // MIB}MB, "
            f"cube_core_num={self.cube_core_num}, vector_core_num={self.vector_core_num}, uuid={self.uuid}, "
            f"L2_cache_size={self.L2_cache_size // MIB}MB)"
        )


# Name, number in the vendor's list of chips, L2 cache in MiB, cube cores, vector cores. A card of each line: programs
# print these, and some ask whether the number is that of a line they know (100 on: 910, 200: 310P, 220: Atlas A2, 240:
# 310B, 250: A3, 260: 950). AI cores of 910A and 310P3: https://github.com/Project-HAMi/ascend-device-plugin; before
# Atlas A2 a core is both.
_CARDS = {
    "atlas-a2": ("Ascend910B2", 221, 192, 24, 48),
    "atlas-a3": ("Ascend910_9391", 250, 192, 24, 48),
    "ascend-950dt": ("Ascend950DT", 260, 128, 32, 64),
    "atlas-910": ("Ascend910A", 102, 32, 30, 30),
    "atlas-310p": ("Ascend310P3", 202, 16, 8, 8),
    "atlas-200i-a2": ("Ascend310B1", 240, 16, 1, 1),
}


def is_available() -> bool:
    """True: the device exists as long as the emulator is enabled and a device is visible."""
    return device_count() > 0


def device_count() -> int:
    """Number of visible devices."""
    return visible_devices()  # not asked of the backend, since torch.compile cannot trace that


def _parse_visible_devices() -> list[int]:
    """The ordinals ASCEND_RT_VISIBLE_DEVICES names; all that could be where it is unset."""
    return visible_ordinals(64)


def set_device(device: Device) -> None:
    """Makes ``device`` the current one."""
    torch.accelerator.set_device_index(_get_device_index(device))


def synchronize(device: Device = None) -> None:
    """Waits for the device; work is done when a call returns, so there is nothing to wait for."""
    _get_device_index(device, optional=True)


def get_device_name(device_name: Device = None) -> str:
    """Name of the card, as ``torch_npu`` reports it for the hardware line."""
    return get_device_properties(device_name).name


def get_device_properties(device_name: Device = None) -> _NPUDeviceProperties:
    """Name, memory, core counts and identity of the card.

    Raises:
        AssertionError: no such device.
    """
    index = _existing(device_name)
    name, _, cache, cubes, vectors = _CARDS[enabled_with().hardware]
    identity = _Uuid(tuple(uuid.uuid5(uuid.NAMESPACE_OID, f"npu_emulator {name} {index}").bytes))
    return _NPUDeviceProperties(name, enabled_with().memory, cache * MIB, cubes, vectors, identity)


def get_soc_version() -> int:
    """The chip's number: 220 to 225 are Ascend910B1 to B4_1, 250 to 255 the A3 line, 260 is Ascend950."""
    return _CARDS[enabled_with().hardware][1]


def get_cann_version(module: str = "CANN") -> str:
    """Empty, as torch_npu answers for a part of CANN that is not installed."""
    return ""


def get_device_capability(device: Device = None) -> tuple[int, int] | None:
    """None, as an Ascend card has no such number; TORCH_NPU_DEVICE_CAPABILITY (``8.0``) makes one up."""
    _get_device_index(device, optional=True)
    asked = os.environ.get("TORCH_NPU_DEVICE_CAPABILITY")
    if not asked:
        return None
    match = re.fullmatch(r"(\d+)\.(\d+)", asked)
    if match is None:
        warnings.warn(f"TORCH_NPU_DEVICE_CAPABILITY={asked}: expected major.minor, such as 8.0", stacklevel=2)
        return None
    return int(match.group(1)), int(match.group(2))


def can_device_access_peer(device_id: Device, peer_device_id: Device) -> bool:
    """Whether two devices copy to one another directly; all of one emulated machine do.

    Raises:
        AssertionError: no such device.
    """
    return _existing(device_id) != _existing(peer_device_id)


def is_bf16_supported(including_emulation: bool = False) -> bool:
    """True on every line the emulator knows."""
    return True


def utilization(device: Device = None) -> int:
    """Percent of the time the device was busy: 0, because work is done when a call returns."""
    _existing(device)
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
