"""How many accelerators a script is told of: as many in the reference, which has one, as on an emulated NPU."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import torch


def tell_devices(count: int, is_own_code: Callable[[str], bool]) -> None:
    """From now on, for the rest of the process, `device_count()` is this for the files that `is_own_code` tells."""
    for module in filter(None, (getattr(torch, name, None) for name in ("cuda", "npu"))):
        module.device_count = _telling(count, module.device_count, is_own_code)


def _telling(count: int, device_count: Callable[[], int], is_own_code: Callable[[str], bool]) -> Callable[[], int]:
    @functools.wraps(device_count)
    def told() -> int:
        return count if is_own_code(sys._getframe(1).f_code.co_filename) else device_count()

    return told
