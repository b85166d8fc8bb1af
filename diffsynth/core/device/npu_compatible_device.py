"""The device helpers scripts and pipelines call. Every answer is that of the moment of the call.

A script that asks ``get_device_name()`` runs on whatever the machine has: "npu:0", "cuda:0", "cpu".
``IS_NPU_AVAILABLE`` and ``IS_CUDA_AVAILABLE`` are looked up when they are read or imported.
"""

from __future__ import annotations

from types import ModuleType

import torch

from diffsynth.core.device.device_types import ACCELERATORS, CPU, CUDA, NPU, device_module, is_available
from diffsynth.core.device.device_types import current_accelerator as _current_accelerator
from diffsynth.core.device.memory import empty_cache, memory_info, room_left, synchronize
from diffsynth.core.device.resolution import UnknownDeviceError, parse_device_type, resolve_device

__all__ = [
    "UnknownDeviceError",
    "empty_cache",
    "enable_high_precision_for_bf16",
    "get_available_device_type",
    "get_device_id",
    "get_device_name",
    "get_device_type",
    "get_nccl_backend",
    "get_torch_device",
    "memory_info",
    "parse_device_type",
    "parse_nccl_backend",
    "resolve_device",
    "room_left",
    "synchronize",
]


def __getattr__(name: str) -> bool:
    if name == "IS_NPU_AVAILABLE":
        return is_available(NPU)
    if name == "IS_CUDA_AVAILABLE":
        return is_available(CUDA)
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
