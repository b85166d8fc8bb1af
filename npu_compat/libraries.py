"""Libraries that ask for CUDA in ways of their own: by a device's type, and by C functions that CUDA has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch

from npu_compat import wrappers
from npu_compat.accelerators import Accelerator
from npu_compat.patcher import Attribute, Patch

_LIGHTNING = ("lightning.fabric", "lightning_fabric", "lightning.pytorch", "pytorch_lightning")
_ACCELERATORS = frozenset(f"{package}.accelerators.cuda" for package in _LIGHTNING)
_DISTRIBUTED = frozenset(f"{package}.utilities.distributed" for package in _LIGHTNING[:2])
_BACKEND = "_get_default_process_group_backend_for_device"
MODULES = _ACCELERATORS | _DISTRIBUTED


def library_patches(module: str, accelerator: Accelerator) -> Iterator[Patch]:
    """Patches of one of MODULES, if it is loaded."""
    loaded = sys.modules.get(module)
    if loaded is not None and module in _ACCELERATORS:
        raw = loaded.CUDAAccelerator.setup_device
        made = wrappers.like(_set_up(raw, accelerator), raw)
        yield Attribute(loaded.CUDAAccelerator, "setup_device", made, f"{module}.CUDAAccelerator.setup_device")
    if loaded is not None and module in _DISTRIBUTED:
        raw = getattr(loaded, _BACKEND)
        made = wrappers.like(_backend_of(raw, accelerator), raw)
        for name, importer in list(sys.modules.items()):
            if name.startswith(_LIGHTNING) and vars(importer).get(_BACKEND) is raw:
                yield Attribute(importer, _BACKEND, made, f"{name}.{_BACKEND}")


def raw_stream_patch(accelerator: Accelerator) -> Patch:
    """``torch._C._cuda_getCurrentRawStream``, which libraries with kernels of their own look up when imported."""
    module = getattr(torch, accelerator.module, None)

    def _cuda_getCurrentRawStream(device: int) -> int:
        stream = module.current_stream(device) if module is not None and accelerator.indexed else None
        return int(getattr(stream, f"{accelerator.name}_stream", 0))

    made = wrappers.placed(_cuda_getCurrentRawStream, "torch._C", "_cuda_getCurrentRawStream")
    return Attribute(torch._C, "_cuda_getCurrentRawStream", made, "torch._C._cuda_getCurrentRawStream")


def _set_up(raw: Any, accelerator: Accelerator) -> Any:
    def setup_device(self: Any, device: torch.device) -> None:
        if device.type == accelerator.name:  # Lightning's own takes cuda's alone
            torch.cuda.set_device(device)
        else:
            raw(self, device)

    return setup_device


def _backend_of(raw: Any, accelerator: Accelerator) -> Any:
    def backend(device: torch.device) -> Any:
        own = device.type == accelerator.name and accelerator.backend
        return own or raw(device)

    return backend
