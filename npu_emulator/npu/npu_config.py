"""Options of the operator compiler, and limits of cores. They are kept and read back; two decide what Conv3d takes."""

from __future__ import annotations

import enum
import os
import warnings
from typing import Any, ClassVar

import torch

from npu_emulator.npu.devices import _existing, get_device_properties


class CubeMathType(enum.IntEnum):
    """How matrix units treat float32."""

    KEEP_DTYPE = 0
    ALLOW_FP32_DOWN_PRECISION = 1
    USE_FP16 = 2
    USE_HF32 = 3
    USE_FP32_ADD = 4
    FORCE_GRP_ACC_FOR_FP32 = 4


class _Hf32Switch:
    """``allow_hf32`` of matmul or convolution; other attributes are taken and dropped, as on hardware."""

    _TYPES: ClassVar[dict[str, type]] = {"allow_hf32": bool}

    def __init__(self, allow_hf32: bool) -> None:
        vars(self)["allow_hf32"] = allow_hf32

    def __setattr__(self, name: str, value: Any) -> None:
        expected = self._TYPES.get(name)
        if expected is not None and not isinstance(value, expected):
            raise TypeError(f"{name} must be a {expected.__name__}, but got {type(value).__name__}")
        if expected is not None:
            vars(self)[name] = value

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _MatmulSwitch(_Hf32Switch):
    """``torch.npu.matmul``: also ``cube_math_type``, None until it is set."""

    _TYPES: ClassVar[dict[str, type]] = {"allow_hf32": bool, "cube_math_type": CubeMathType}


class _Config:
    """``torch.npu.config``: ``allow_internal_format`` lets tensors be kept in the hardware's own layouts."""

    def __init__(self) -> None:
        self.allow_internal_format = True


config = _Config()
matmul = _MatmulSwitch(allow_hf32=False)
conv = _Hf32Switch(allow_hf32=True)

_options: dict[str, str] = {}
# The options whose values are checked, and what they take.
_ALLOWED = {
    "ACL_PRECISION_MODE": ("allow_fp32_to_fp16", "must_keep_origin_dtype"),
    "ACL_OP_SELECT_IMPL_MODE": ("high_performance", "high_precision"),
    "ACL_AICORE_NUM": tuple(str(number) for number in range(1, 33)),
    "ACL_OP_DEBUG_LEVEL": ("0", "1", "2", "3", "4"),
    "ACL_OP_COMPILER_CACHE_MODE": ("disable", "enable", "force"),
}
_DEPRECATED = {"ACL_OP_SELECT_IMPL_MODE", "ACL_OPTYPELIST_FOR_IMPLMODE"}


def set_option(option: dict[str, Any]) -> None:
    """Keeps options of the operator compiler.

    Raises:
        TypeError: ``option`` is not a dict.
        ValueError: a value the option does not take; names both.
    """
    if not isinstance(option, dict):
        raise TypeError(f"npu option must be a dict, got {type(option).__name__}")
    for name, value in option.items():
        allowed = _ALLOWED.get(name)
        if allowed is not None and str(value) not in allowed:
            raise ValueError(f"value of {name} should be in {list(allowed)} but got {value}")
        if name in _DEPRECATED:
            warnings.warn(f"{name} will be deprecated in a future version", stacklevel=2)
    _options.update({name: str(value) for name, value in option.items()})


def set_compile_mode(jit_compile: bool = False) -> None:
    """Whether operators are compiled for each shape as they run (True) or taken from the prebuilt set."""
    set_option({"jitCompile": "enable" if jit_compile else "disable"})


def is_jit_compile_false() -> bool:
    """Whether set_compile_mode(jit_compile=False) is in force."""
    return _options.get("jitCompile") == "disable"


def set_mm_bmm_format_nd(is_nd: bool = True) -> None:
    """Whether mm and bmm take plain layouts."""
    set_option({"MM_BMM_ND_ENABLE": "enable" if is_nd else "disable"})


def get_mm_bmm_format_nd() -> bool:
    """Whether mm and bmm take plain layouts; they do unless told otherwise."""
    return _options.get("MM_BMM_ND_ENABLE", "enable") == "enable"


def set_aoe(dump_path: str) -> None:
    """Asks for tuned operators, with what is tuned in the folder ``dump_path``, which is made. Nothing is tuned here.

    Raises:
        TypeError, OSError: the folder cannot be made.
    """
    os.makedirs(dump_path, exist_ok=True)
    set_option({"autotune": "enable", "autotunegraphdumppath": dump_path})


def prebuilt_kernels_in_plain_layout() -> bool:
    """Whether the program turned off internal formats or compiling by shape, the way out for Conv3d in bfloat16."""
    return not config.allow_internal_format or is_jit_compile_false()


# -- how many cores work may use: kept and read back, since nothing here runs on them ------------------------------

_device_limits: dict[int, dict[str, int]] = {}
_stream_limits: dict[torch.Stream, dict[str, int]] = {}


def _limits(cube_num: int, vector_num: int) -> dict[str, int]:
    asked = {"cube_core_num": cube_num, "vector_core_num": vector_num}
    return {name: number for name, number in asked.items() if number != -1}


def set_device_limit(device: int, cube_num: int = -1, vector_num: int = -1) -> None:
    """Limits the cores of a device; once in a process, as on hardware. -1 leaves a number as it is.

    Raises:
        TypeError: the device is no index.
        AssertionError: no such device.
        RuntimeError: it was called before.
    """
    if _device_limits:
        raise RuntimeError("set_device_limit has already been called, and can be called once only")
    _device_limits[_index_of(device)] = _limits(cube_num, vector_num)


def get_device_limit(device: int) -> dict[str, int]:
    """``cube_core_num`` and ``vector_core_num`` that work on the device may use.

    Raises:
        TypeError: the device is no index.
        AssertionError: no such device.
    """
    index = _index_of(device)
    card = get_device_properties(index)
    cores = {"cube_core_num": card.cube_core_num, "vector_core_num": card.vector_core_num}
    return cores | _device_limits.get(index, {})


def _index_of(device: int) -> int:
    if isinstance(device, bool) or not isinstance(device, int):
        raise TypeError(f"device must be an int, but got {type(device).__name__}")
    return _existing(device)


def set_stream_limit(stream: torch.Stream, cube_num: int = -1, vector_num: int = -1) -> None:
    """Limits the cores of a stream. -1 leaves a number as it is.

    Raises:
        AssertionError: not a stream of an npu device.
    """
    limits = _stream_limits.setdefault(_checked(stream), {})
    limits.update(_limits(cube_num, vector_num))


def get_stream_limit(stream: torch.Stream) -> dict[str, int]:
    """``cube_core_num`` and ``vector_core_num`` that work on the stream may use.

    Raises:
        AssertionError: not a stream of an npu device.
    """
    limited = _checked(stream)
    return get_device_limit(limited.device_index) | _stream_limits.get(limited, {})


def reset_stream_limit(stream: torch.Stream) -> None:
    """Gives a stream all cores of its device again.

    Raises:
        AssertionError: not a stream of an npu device.
    """
    _stream_limits.pop(_checked(stream), None)


def _checked(stream: Any) -> torch.Stream:
    if not isinstance(stream, torch.Stream) or stream.device.type != "npu":
        raise AssertionError(f"stream should be torch_npu.npu.Stream, could not be {type(stream)}")
    return stream
