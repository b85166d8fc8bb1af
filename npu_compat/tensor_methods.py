"""Tensor methods that need more than a translated argument: ``cuda``, ``type`` and ``is_cuda``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from npu_compat import wrappers
from npu_compat.translation import Translation


def cuda_method(raw: Callable[..., Any], translation: Translation) -> Callable[..., Any]:
    """``tensor.cuda(device=None, non_blocking=False, memory_format=...)`` as a move to the accelerator."""
    default, translate = translation.default, translation.device
    kind = translation.accelerator.name

    def cuda(self: Any, device: Any = None, non_blocking: bool = False, **options: Any) -> Any:
        target = default if device is None else translate(device)
        if isinstance(target, int):
            target = torch.device(kind, target)
        if device is None and self.device.type == kind:  # a tensor that is on some device already stays there
            target = self.device
        return self.to(device=target, non_blocking=non_blocking, **options)

    return wrappers.like(cuda, raw)


def type_method(raw: Callable[..., Any], translation: Translation) -> Callable[..., Any]:
    """``tensor.type("torch.cuda.FloatTensor")`` and ``tensor.type(torch.cuda.FloatTensor)``."""
    legacy, default = translation.legacy_types, translation.default

    def type(self: Any, dtype: Any = None, non_blocking: bool = False, **options: Any) -> Any:
        element = legacy.get(dtype) if dtype is not None else None
        if element is not None:
            return self.to(device=default, dtype=element, non_blocking=non_blocking)
        return raw(self, dtype, non_blocking, **options) if dtype is not None else raw(self)

    return wrappers.like(type, raw)


def host_pin_memory(raw: Callable[..., Any], translation: Translation) -> Callable[..., Any]:
    """``tensor.pin_memory()`` on the CPU: nothing is copied from it, so nothing is pinned."""

    def pin_memory(self: Any, device: Any = None) -> Any:
        return self

    return wrappers.like(pin_memory, raw)


def host_record_stream(raw: Callable[..., Any], translation: Translation) -> Callable[..., Any]:
    """``tensor.record_stream(s)`` on the CPU: memory is not reused before its work is done, as there is one order."""

    def record_stream(self: Any, s: Any) -> None: ...

    return wrappers.like(record_stream, raw)


def default_tensor_type(raw: Callable[..., Any], translation: Translation) -> Callable[..., Any]:
    """``torch.set_default_tensor_type(torch.cuda.FloatTensor)`` as a default dtype and a default device."""

    def set_default_tensor_type(t: Any) -> None:
        element = translation.legacy_types.get(t)
        if element is None:
            raw(t)
            return
        torch.set_default_dtype(element)
        torch.set_default_device(translation.default)

    return wrappers.like(set_default_tensor_type, raw)
