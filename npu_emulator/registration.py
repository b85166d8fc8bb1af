"""Making the loaded backend known: ``torch.npu``, tensor methods, ``import torch_npu``, refusals, ``hccl``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.backend_registration import generate_methods_for_privateuse1_backend

from npu_emulator import autograd_threads, eager_compile, flex_attention, interchange, npu, printing, refusals
from npu_emulator.operators import namespace as operators
from npu_emulator.torch_npu_finder import install_finder

# What the vendor's own registration leaves out.
_NO_STORAGE = [torch.quint8, torch.quint4x2, torch.quint2x4, torch.qint32, torch.qint8]


def register(enable: Callable[[], object]) -> None:
    """Registers every part; called once, after the backend is loaded. `enable` does all this in another process."""
    torch_module: Any = torch
    npu.default_generators = tuple(
        npu.random.get_default_generator(index) for index in range(npu.devices.device_count())
    )
    torch_module._register_device_module("npu", npu)
    for name, module in npu.SUBMODULES.items():
        sys.modules[f"torch.npu.{name}"] = module
    generate_methods_for_privateuse1_backend(
        for_tensor=True,
        for_module=True,
        for_packed_sequence=True,
        for_storage=True,
        unsupported_dtype=_NO_STORAGE,
    )
    activity = torch.profiler.ProfilerActivity
    activity.NPU = activity.PrivateUse1  # type: ignore[attr-defined]
    install_finder()
    operators.install()
    printing.install()
    interchange.install(enable)
    refusals.install()
    eager_compile.install()
    flex_attention.install()
    autograd_threads.install()
    if torch.distributed.is_available():
        from npu_emulator import hccl

        hccl.register()
