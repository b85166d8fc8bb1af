"""What ``import torch_npu`` gives on the emulated NPU."""

from __future__ import annotations

import sys

from npu_emulator import npu
from npu_emulator.npu.streams import _erase_stream as erase_stream
from npu_emulator.torch_npu_finder import version as _version

__emulated__ = True
__version__ = _version()

sys.modules["torch_npu.npu"] = npu
sys.modules.update({f"torch_npu.npu.{_name}": _module for _name, _module in npu.SUBMODULES.items()})

from . import contrib, distributed, optim, profiler, utils  # noqa: E402
from .asd.checksum import _matmul_checksum as matmul_checksum  # noqa: E402
from .fused import npu_format_cast, npu_fusion_attention, npu_rms_norm  # noqa: E402

__all__ = [
    "contrib",
    "distributed",
    "erase_stream",
    "matmul_checksum",
    "npu",
    "npu_format_cast",
    "npu_fusion_attention",
    "npu_rms_norm",
    "optim",
    "profiler",
    "utils",
]
