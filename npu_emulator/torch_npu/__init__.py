"""What ``import torch_npu`` gives on the emulated NPU."""

from __future__ import annotations

import sys
from typing import Any

import torch

from npu_emulator import npu
from npu_emulator.torch_npu_finder import version as _version

__emulated__ = True
__version__ = _version()

sys.modules["torch_npu.npu"] = npu
sys.modules.update({f"torch_npu.npu.{_name}": _module for _name, _module in npu.SUBMODULES.items()})

from npu_emulator.operators import namespace as _operators  # noqa: E402

from . import contrib, optim, profiler  # noqa: E402
from .formats import copy_memory_, empty_with_format, fast_gelu, get_npu_format  # noqa: E402

__all__ = [
    "contrib",
    "copy_memory_",
    "empty_with_format",
    "fast_gelu",
    "get_npu_format",
    "npu",
    "optim",
    "profiler",
]


def __getattr__(name: str) -> Any:
    """An operator, defined now that it is asked for."""
    if not _operators.define(name):
        raise AttributeError(f"module 'torch_npu' has no attribute {name!r}")
    return globals().setdefault(name, getattr(torch.ops.npu, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *_operators.schemas()})
