"""What ``import torch_npu`` gives on the emulated NPU."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from npu_emulator import npu
from npu_emulator.npu.streams import _erase_stream as erase_stream
from npu_emulator.operators.casts import OWN_TYPES
from npu_emulator.torch_npu_finder import version as _version

__emulated__ = True
__version__ = _version()

sys.modules["torch_npu.npu"] = npu
sys.modules.update({f"torch_npu.npu.{_name}": _module for _name, _module in npu.SUBMODULES.items()})

from . import distributed, profiler, utils  # noqa: E402
from . import operators as _operators  # noqa: E402
from .asd.checksum import _matmul_checksum as matmul_checksum  # noqa: E402
from .formats import copy_memory_, empty_with_format, fast_gelu, get_npu_format  # noqa: E402
from .patches import _apply_all_patches as _apply_all_patches  # noqa: E402
from .patches import _apply_patches as _apply_patches  # noqa: E402

# The types that torch has no number for: torch_npu.int4, torch_npu.float8_e8m0fnu and so on.
globals().update({_name: _number for _number, _name in OWN_TYPES.items()})

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


# Imported when they are asked for, as few programs do.
_LATER = ("contrib", "optim")


def __getattr__(name: str) -> Any:
    """A package of those imported later, or an operator, defined now that it is asked for."""
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    operator = _operators.find(name)
    if operator is None:
        raise AttributeError(f"module 'torch_npu' has no attribute {name!r}")
    return globals().setdefault(name, operator)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_operators.names()})
