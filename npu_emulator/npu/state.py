"""Process-wide switches of torch.npu that the emulator keeps and reads back, and its initialisation."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_original_pid = os.getpid()
_switches: dict[str, Any] = {"sync_debug": 0, "task_queue": 1, "deterministic": 0, "compatible": False}


def init() -> None:
    """Nothing to do: the device is ready once the emulator is enabled."""


_lazy_init = init


def _lazy_call(call: Callable[[], Any]) -> None:
    call()


def is_initialized() -> bool:
    """True: the device is ready once the emulator is enabled."""
    return True


def _is_in_bad_fork() -> bool:
    return os.getpid() != _original_pid


def ipc_collect() -> None:
    """Nothing to collect: memory is not shared between processes."""


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Kept and read back; nothing here synchronises."""
    _switches["sync_debug"] = {"default": 0, "warn": 1, "error": 2}.get(str(debug_mode), debug_mode)


def get_sync_debug_mode() -> int:
    """What set_sync_debug_mode was given, as a number."""
    return int(_switches["sync_debug"])


def set_task_queue_enable(level: int) -> None:
    """Kept and read back; calls run at once."""
    _switches["task_queue"] = level


def get_task_queue_enable() -> int:
    """The level of the dispatch queue, from set_task_queue_enable or TASK_QUEUE_ENABLE."""
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
