"""What ``import torch_npu`` gives on the emulated NPU."""

from __future__ import annotations

import sys
from typing import Any

from npu_emulator import npu
from npu_emulator.npu.streams import _erase_stream as erase_stream
from npu_emulator.torch_npu_finder import version as _version

__emulated__ = True
__version__ = _version()

sys.modules["torch_npu.npu"] = npu
sys.modules.update({f"torch_npu.npu.{_name}": _module for _name, _module in npu.SUBMODULES.items()})

from . import contrib, distributed, optim, profiler, utils  # noqa: E402
from . import operators as _operators  # noqa: E402
from .asd.checksum import _matmul_checksum as matmul_checksum  # noqa: E402
from .formats import copy_memory_, empty_with_format, fast_gelu, get_npu_format  # noqa: E402

__all__ = [
    "contrib",
    "copy_memory_",
    "distributed",
    "empty_with_format",
    "erase_stream",
    "fast_gelu",
    "get_npu_format",
    "matmul_checksum",
    "npu",
    "optim",
    "profiler",
    "utils",
]


def __getattr__(name: str) -> Any:
    """An operator, defined now that it is asked for."""
    operator = _operators.find(name)
    if operator is None:
        raise AttributeError(f"module 'torch_npu' has no attribute {name!r}")
    return globals().setdefault(name, operator)


def __dir__() -> list[str]:
    return sorted({*globals(), *_operators.names()})
