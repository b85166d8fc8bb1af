"""Flags of attention and of other parts, under torch_npu's names. They are torch's own flags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

_C: Any = torch._C


def flash_sdp_enabled() -> bool:
    """Whether attention may take its flash kernel."""
    return bool(_C._get_flash_sdp_enabled())


def enable_flash_sdp(enabled: bool) -> None:
    """Lets attention take its flash kernel, or not."""
    _C._set_sdp_use_flash(enabled)


def mem_efficient_sdp_enabled() -> bool:
    """Whether attention may take its memory-efficient kernel."""
    return bool(_C._get_mem_efficient_sdp_enabled())


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Lets attention take its memory-efficient kernel, or not."""
    _C._set_sdp_use_mem_efficient(enabled)


def math_sdp_enabled() -> bool:
    """Whether attention may be computed step by step."""
    return bool(_C._get_math_sdp_enabled())


def enable_math_sdp(enabled: bool) -> None:
    """Lets attention be computed step by step, or not."""
    _C._set_sdp_use_math(enabled)


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True
) -> Iterator[dict[str, Any]]:
    """The three flags for a block of code."""
    before = flash_sdp_enabled(), math_sdp_enabled(), mem_efficient_sdp_enabled()
    _set_all(enable_flash, enable_math, enable_mem_efficient)
    try:
        yield {}
    finally:
        _set_all(*before)


def _set_all(flash: bool, math: bool, mem_efficient: bool) -> None:
    enable_flash_sdp(flash)
    enable_math_sdp(math)
    enable_mem_efficient_sdp(mem_efficient)


def preferred_linalg_library(backend: Any = None) -> Any:
    """The default one: there is no choice."""
    return _C._LinalgBackend.Default


class NPUFFTPlanCache:
    """Plans of the FFT: ``size`` is 0, since the host's library plans here; ``max_size`` is kept."""

    max_size = 4096

    @property
    def size(self) -> int:
        """How many plans are kept."""
        return 0

    def clear(self) -> None:
        """Nothing to forget."""


fft_plan_cache = NPUFFTPlanCache()
