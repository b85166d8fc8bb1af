"""Memory of a device, the host included, and the two calls that wait for it and tidy it."""

from __future__ import annotations

from pathlib import Path

import torch

from diffsynth.core.device.device_types import CPU, MPS, device_module
from diffsynth.core.device.resolution import resolve_device

_MEMINFO = Path("/proc/meminfo")


def memory_info(device: str | torch.device | int | None = None) -> tuple[int, int]:
    """Free and total bytes of a device; of the host on the CPU, where free means what programs can still have.

    The free memory is that of the whole device: what other processes hold is not free, and neither is what torch
    keeps for reuse.

    Raises:
        UnknownDeviceError: the device is not there.
    """
    device = resolve_device(device)
    if device.type == CPU:
        return _host_memory()
    module = device_module(device.type)
    if device.type == MPS:  # host and device share memory; Metal says how much of it the device should take
        total = module.recommended_max_memory()
        return max(total - module.driver_allocated_memory(), 0), total
    if hasattr(module, "mem_get_info"):
        free, total = module.mem_get_info(device)
        return int(free), int(total)
    total = int(module.get_device_properties(device).total_memory)
    return total - int(module.memory_reserved(device)), total


def room_left(device: str | torch.device | int | None = None, limit: float | None = None) -> int:
    """Bytes that this process can still allocate on a device; 0 on the CPU, where nobody should count on them.

    Args:
        limit: GiB in use on the device, by whomever, that are not to be exceeded; None is all it has.

    Raises:
        UnknownDeviceError: the device is not there.
    """
    device = resolve_device(device)
    if device.type == CPU:
        return 0
    free, total = memory_info(device)
    module = device_module(device.type)
    kept = 0
    if hasattr(module, "memory_reserved"):  # what torch keeps for reuse is ours to allocate
        kept = int(module.memory_reserved(device)) - int(module.memory_allocated(device))
    limited = total if limit is None else min(total, int(limit * 1024**3))
    return max(0, free + kept - (total - limited))


def empty_cache(device: str | torch.device | int | None = None) -> None:
    """Gives back the memory torch keeps for reuse on the device. Nothing to do on the CPU."""
    device = resolve_device(device)
    if device.type != CPU:
        device_module(device.type).empty_cache()


def synchronize(device: str | torch.device | int | None = None) -> None:
    """Waits until the work queued on the device is done. Nothing to do on the CPU."""
    device = resolve_device(device)
    if device.type == MPS:
        device_module(MPS).synchronize()
    elif device.type != CPU:
        device_module(device.type).synchronize(device)


def _host_memory() -> tuple[int, int]:
    if not _MEMINFO.exists():
        return _host_memory_elsewhere()
    free = total = 0
    with _MEMINFO.open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemTotal:"):
                total = int(line.split()[1]) * 1024
            elif line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
                break
    return free, total


def _host_memory_elsewhere() -> tuple[int, int]:
    """On systems other than Linux.

    Raises:
        RuntimeError: psutil is not installed.
    """
    try:
        import psutil
    except ModuleNotFoundError as error:
        raise RuntimeError("the memory of this machine cannot be read: install psutil") from error
    memory = psutil.virtual_memory()
    return memory.available, memory.total
