"""The device helpers scripts and pipelines call. Every answer is that of the moment of the call.

A script that asks ``get_device_name()`` runs on whatever the machine has: "npu:0", "cuda:0", "cpu".
``IS_NPU_AVAILABLE`` and ``IS_CUDA_AVAILABLE`` are looked up when they are read or imported.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import torch

from diffsynth.core.device.device_types import ACCELERATORS, CPU, CUDA, MPS, NPU, device_module, is_available
from diffsynth.core.device.device_types import current_accelerator as _current_accelerator
from diffsynth.core.device.resolution import UnknownDeviceError as UnknownDeviceError
from diffsynth.core.device.resolution import parse_device_type as parse_device_type
from diffsynth.core.device.resolution import resolve_device as resolve_device

_MEMINFO = Path("/proc/meminfo")


_LOOKED_UP = {"IS_NPU_AVAILABLE": NPU, "IS_CUDA_AVAILABLE": CUDA}


def __getattr__(name: str) -> bool:
    if name in _LOOKED_UP:
        return is_available(_LOOKED_UP[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_device_type() -> str:
    """Type of the accelerator of this machine, "cpu" where there is none."""
    return _current_accelerator() or CPU


get_available_device_type = get_device_type


def get_torch_device() -> ModuleType:
    """torch's module for that type: ``torch.cuda``, ``torch.npu``, ``torch.cpu``."""
    return device_module(get_device_type())


def get_device_id() -> int:
    """Index of the current device; 0 on the CPU."""
    return resolve_device(None).index or 0


def get_device_name() -> str:
    """Name of the current device, as torch takes it: "npu:0", "cuda:1", "cpu"."""
    return str(resolve_device(None))


def get_nccl_backend() -> str:
    """Process group backend for the accelerator of this machine: nccl, hccl, xccl or mccl.

    Raises:
        RuntimeError: there is none for it.
    """
    return parse_nccl_backend(get_device_type())


def parse_nccl_backend(device: str | torch.device) -> str:
    """Process group backend for a device, with or without index.

    Raises:
        UnknownDeviceError: no device type of this name is known.
        RuntimeError: there is none for this type.
    """
    name = parse_device_type(device)
    kind = ACCELERATORS.get(name or CPU)
    if kind is None or kind.process_group is None:
        having = ", ".join(f"{other} ({it.process_group})" for other, it in ACCELERATORS.items() if it.process_group)
        raise RuntimeError(
            f"device {str(device)!r} has no process group backend for sharding; these have one: {having}"
        )
    return kind.process_group


def enable_high_precision_for_bf16() -> None:
    """Trades speed for accuracy in matrix products: sums of bfloat16 products are kept in float32 on CUDA; on an NPU,
    which does so anyway, float32 operands are no longer rounded to HF32."""
    if is_available(CUDA):
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if is_available(NPU):
        npu = device_module(NPU)
        npu.matmul.allow_hf32 = False
        npu.conv.allow_hf32 = False


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
    has_counts = hasattr(module, "memory_reserved")  # what torch keeps for reuse is ours to allocate
    kept = int(module.memory_reserved(device)) - int(module.memory_allocated(device)) if has_counts else 0
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
