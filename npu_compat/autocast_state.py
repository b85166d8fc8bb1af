"""The state of autocast, as C functions whose older forms leave the device out and mean CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from npu_compat import wrappers
from npu_compat.patcher import Attribute, Patch
from npu_compat.translation import Translation


def autocast_patches(translation: Translation) -> Iterator[Patch]:
    """``torch.is_autocast_enabled`` and its kind, with and without a device."""
    name = translation.accelerator.name
    to_type = translation.device_type
    read_enabled, write_enabled = torch.is_autocast_enabled, torch.set_autocast_enabled
    read_dtype, write_dtype = torch.get_autocast_dtype, torch.set_autocast_dtype

    def is_autocast_enabled(device_type: Any = name) -> Any:
        return read_enabled(to_type(device_type))

    def set_autocast_enabled(*args: Any, **kwargs: Any) -> Any:
        if len(args) + len(kwargs) == 1:
            return write_enabled(name, *args, **kwargs)
        if "device_type" in kwargs:
            return write_enabled(to_type(kwargs.pop("device_type")), *args, **kwargs)
        return write_enabled(to_type(args[0]), *args[1:], **kwargs)

    def get_autocast_dtype(device_type: Any) -> Any:
        return read_dtype(to_type(device_type))

    def set_autocast_dtype(device_type: Any, dtype: Any) -> Any:
        return write_dtype(to_type(device_type), dtype)

    def get_autocast_gpu_dtype() -> Any:
        return read_dtype(name)

    def set_autocast_gpu_dtype(dtype: Any) -> Any:
        return write_dtype(name, dtype)

    for function in (
        is_autocast_enabled,
        set_autocast_enabled,
        get_autocast_dtype,
        set_autocast_dtype,
        get_autocast_gpu_dtype,
        set_autocast_gpu_dtype,
    ):
        raw = getattr(torch, function.__name__)
        replaced = wrappers.Builtin(wrappers.like(function, raw), raw)
        yield Attribute(torch, function.__name__, replaced, f"torch.{function.__name__}")
