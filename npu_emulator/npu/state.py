"""Process-wide switches of torch.npu that the emulator keeps and reads back, its initialisation, and its faults."""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

_switches: dict[str, Any] = {"sync_debug": 0, "task_queue": 1, "deterministic": 0, "compatible": False, "timeout": 0}

# Names that libraries look at before they call: the device is ready, so nothing is queued.
_initialized = True
_initialization_lock = threading.Lock()
_queued_calls: list[Any] = []
_tls = threading.local()


def init() -> None:
    """Nothing to do: the device is ready once the emulator is enabled."""


_lazy_init = init


def _lazy_call(cb: Callable[[], Any]) -> None:
    cb()


def is_initialized() -> bool:
    """True: the device is ready once the emulator is enabled."""
    return True


def _is_in_bad_fork() -> bool:
    """Whether this process was forked after its parent had used the device; torch seeds no generator then."""
    return bool(torch.ops.npu_emulator.forked_after_use())


def _sleep(cycles: int) -> None:
    """Keeps the device busy for ``cycles`` of a clock of 1 GHz."""
    time.sleep(cycles / 1e9)


def ipc_collect() -> None:
    """Nothing to collect: memory is not shared between processes."""


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Kept and read back; nothing here synchronises.

    Raises:
        RuntimeError: not 0, 1, 2, ``default``, ``warn`` or ``error``.
    """
    modes = {"default": 0, "warn": 1, "error": 2}
    mode = modes.get(debug_mode, debug_mode) if isinstance(debug_mode, str) else debug_mode
    if mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode: {debug_mode}, expected one of 0, 1, 2, {', '.join(modes)}")
    _switches["sync_debug"] = mode


def get_sync_debug_mode() -> int:
    """What set_sync_debug_mode was given, as a number."""
    return int(_switches["sync_debug"])


def set_task_queue_enable(mode: int | str) -> None:
    """Kept and read back; calls run at once.

    Raises:
        RuntimeError: not 0, 1 or 2.
    """
    if int(mode) not in (0, 1, 2):
        raise RuntimeError(f"mode must be 0, 1, or 2, but got {mode}.")
    _switches["task_queue"] = int(mode)


def get_task_queue_enable() -> int:
    """The level of the dispatch queue, from set_task_queue_enable or TASK_QUEUE_ENABLE; 0 where launches block."""
    if os.environ.get("ASCEND_LAUNCH_BLOCKING") == "1":
        return 0
    return int(os.environ.get("TASK_QUEUE_ENABLE", _switches["task_queue"]))


def set_deterministic_level(level: int) -> None:
    """Kept; the emulator's kernels are the host's, deterministic as far as those are."""
    _switches["deterministic"] = level


def enable_deterministic_with_backward(tensor: Any) -> Any:
    """Returns its argument: determinism is not switched on the way."""
    return tensor


def disable_deterministic_with_backward(tensor: Any) -> Any:
    """Returns its argument: determinism is not switched on the way."""
    return tensor


def use_compatible_impl(is_enable: bool) -> None:
    """Kept and read back; the emulator's semantics are torch's own."""
    _switches["compatible"] = is_enable


def are_compatible_impl_enabled() -> bool:
    """What use_compatible_impl was given."""
    return bool(_switches["compatible"])


def set_op_timeout_ms(timeout: int) -> None:
    """Kept: an operator is done when its call returns, however long it takes."""
    _switches["timeout"] = int(timeout)


def current_blas_handle() -> None:
    """None: an NPU has no such handle."""
    warnings.warn("NPU does not use blas handle.", stacklevel=2)


def stress_detect(detect_type: str = "aic") -> int:
    """0, no fault found; 1 for what cannot be tested: ``hccs`` without a process group, and other words.

    The hardware's own test runs for minutes. Host memory has no AI cores to fail.
    """
    if detect_type not in ("aic", "hccs"):
        warnings.warn(f"stress_detect takes aic or hccs, and got {detect_type}", stacklevel=2)
        return 1
    if detect_type == "hccs" and not torch.distributed.is_initialized():
        warnings.warn("torch.distributed should be initialized for p2p detection.", stacklevel=2)
        return 1
    return 0


# -- overflow: every line the emulator knows keeps infinities and NaNs, so that there is no flag ------------------


def is_support_inf_nan() -> bool:
    """True from Ascend910B1 on: results overflow to infinity instead of saturating."""
    return True


def is_force_overflow_check() -> bool:
    """Whether FORCE_OVERFLOW_CHECK=1 asks for the flag of older cards nevertheless."""
    return os.environ.get("FORCE_OVERFLOW_CHECK", "0") == "1"


def npu_check_overflow(grad: torch.Tensor | float) -> bool:
    """Whether a number, or the sum of a tensor, is infinite or NaN.

    Raises:
        RuntimeError: neither a float nor a tensor.
    """
    if not isinstance(grad, (float, torch.Tensor)):
        raise RuntimeError(f"Unsupported type: {type(grad).__name__}; expected a float or a tensor")
    total = grad if isinstance(grad, float) else float(grad.float().sum())
    return not math.isfinite(total)


def get_npu_overflow_flag() -> bool:
    """Never returns: from Ascend910B1 on there is no flag.

    Raises:
        RuntimeError: always, as on hardware.
    """
    raise RuntimeError("Unsupported api when soc_version >= Ascend910B1, please use npu_check_overflow")


def clear_npu_overflow_flag() -> None:
    """Warns, as on hardware: from Ascend910B1 on there is no flag."""
    warnings.warn(
        "When soc_version >= Ascend910B1, clear_npu_overflow_flag is useless. Please remove it.", stacklevel=2
    )


class _Runtime:
    """What npurt() returns: each call gives the runtime's status, 0 for success."""

    def npuHostRegister(self, ptr: int, size: int, flags: int = 0) -> int:
        """Host memory is the device's memory here."""
        return 0

    def npuHostUnregister(self, ptr: int) -> int:
        """Nothing to undo."""
        return 0


def npurt() -> _Runtime:
    """The runtime's module: registering host memory succeeds, since the device reads it as it is."""
    return _Runtime()
