"""Options of the operator compiler. They are kept and read back; two of them decide what Conv3d takes."""

from __future__ import annotations

import enum
from typing import Any


class CubeMathType(enum.IntEnum):
    """How matrix units treat float32."""

    KEEP_DTYPE = 0
    ALLOW_FP32_DOWN_PRECISION = 1
    USE_FP16 = 2
    USE_HF32 = 3


class _Hf32Switch:
    """``allow_hf32`` of matmul or convolution."""

    def __init__(self, allow_hf32: bool) -> None:
        self.allow_hf32 = allow_hf32


class _Config:
    """``torch.npu.config``: ``allow_internal_format`` lets tensors be kept in the hardware's own layouts."""

    def __init__(self) -> None:
        self.allow_internal_format = True


config = _Config()
matmul = _Hf32Switch(allow_hf32=False)
conv = _Hf32Switch(allow_hf32=True)
_options: dict[str, Any] = {}


def set_option(option: dict[str, Any]) -> None:
    """Keeps options of the operator compiler.

    Raises:
        TypeError: ``option`` is not a dict.
    """
    if not isinstance(option, dict):
        raise TypeError(f"npu option must be a dict, got {type(option).__name__}")
    _options.update(option)


def set_compile_mode(jit_compile: bool = False) -> None:
    """Whether operators are compiled for each shape as they run (True) or taken from the prebuilt set."""
    set_option({"jitCompile": "enable" if jit_compile else "disable"})


def is_jit_compile_false() -> bool:
    """Whether set_compile_mode(jit_compile=False) is in force."""
    return bool(_options.get("jitCompile") == "disable")


def set_mm_bmm_format_nd(format_nd: bool) -> None:
    """Whether mm and bmm take plain layouts."""
    set_option({"MM_BMM_ND_ENABLE": "enable" if format_nd else "disable"})


def get_mm_bmm_format_nd() -> bool:
    """Whether mm and bmm take plain layouts; they do unless told otherwise."""
    return bool(_options.get("MM_BMM_ND_ENABLE", "enable") == "enable")


def prebuilt_kernels_in_plain_layout() -> bool:
    """Whether the program turned off internal formats or compiling by shape, the way out for Conv3d in bfloat16."""
    return not config.allow_internal_format or is_jit_compile_false()
