"""The few names of torch_npu's C extension that libraries take from it."""

from __future__ import annotations

import types
from typing import Any

import torch

from npu_emulator import hccl
from npu_emulator.npu import random
from npu_emulator.npu.devices import Device, _NPUDeviceProperties
from npu_emulator.npu.devices import get_soc_version as _npu_get_soc_version
from npu_emulator.npu.graphs import TensorWeakRef as _weak_ref_tensor
from npu_emulator.npu.pools import _set_allocator_settings as _npu_npuCachingAllocator_set_allocator_settings
from npu_emulator.npu.streams import current_stream

_distributed_c10d = types.SimpleNamespace(ProcessGroupHCCL=hccl.ProcessGroupHCCL)

__all__ = [
    "_NPUDeviceProperties",
    "_distributed_c10d",
    "_npu_getCurrentRawStream",
    "_npu_getDefaultGenerator",
    "_npu_get_soc_version",
    "_npu_npuCachingAllocator_set_allocator_settings",
    "_storage_Use_Count",
    "_weak_ref_tensor",
]


def _npu_getCurrentRawStream(device: Device) -> int:
    """The number of the stream that work on a device goes to."""
    return current_stream(device).npu_stream


def _storage_Use_Count(storage_ptr: int) -> int:
    """How many hold the storage of that ``_cdata``."""
    return torch._C._storage_Use_Count(storage_ptr)


def _npu_getDefaultGenerator(device: Any) -> torch.Generator:
    """The generator of a device."""
    return random.get_default_generator(device)
