"""What ``torch.cuda`` answers where NPU_COMPAT_FALLBACK=cpu puts the CPU in the accelerator's place.

One device, number 0; work is done when a call returns, so streams and events keep order and time and never wait.
Amounts of memory are in bytes and those of the machine; what tensors take is not counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from npu_compat.translation import LEGACY_TYPES


def names() -> dict[str, str]:
    """Every public name below ``torch.cuda`` that is answered here, under itself."""
    own = [name for name, value in globals().items() if getattr(value, "__module__", None) == __name__]
    functions = {name: name for name in [*own, *LEGACY_TYPES] if not name.startswith("_") and name != "names"}
    random = {f"random.{name}": name for name in own if "seed" in name or "rng" in name}
    return functions | random | {f"memory.{name}": name for name in own if "memory" in name or "mem_" in name}


def __getattr__(name: str) -> Any:
    if name in LEGACY_TYPES:
        return getattr(torch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def init() -> None: ...


def device_count() -> int:
    return 1


def current_device() -> int:
    return 0


def set_device(device: Any) -> None: ...


def synchronize(device: Any = None) -> None: ...


def ipc_collect() -> None: ...


def get_device_name(device: Any = None) -> str:
    return platform.processor() or platform.machine()


def get_device_capability(device: Any = None) -> tuple[int, int]:
    return 0, 0


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return True


def is_current_stream_capturing() -> bool:
    return False


def utilization(device: Any = None) -> int:
    return 0


@dataclass(frozen=True)
class _Properties:
    name: str
    total_memory: int
    multi_processor_count: int
    major: int = 0
    minor: int = 0


def get_device_properties(device: Any = None) -> _Properties:
    return _Properties(get_device_name(), mem_get_info()[1], os.cpu_count() or 1)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    if sys.platform == "win32":
        # MEMORYSTATUSEX: its own length and a percentage, 32 bits each, then seven amounts of 64 bits, in bytes.
        status = (ctypes.c_uint64 * 8)(64)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
        return status[2], status[1]
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    # macOS does not tell what is free.
    return page * os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else total, total


def empty_cache() -> None: ...


def memory_allocated(device: Any = None) -> int:
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None: ...


def memory_stats(device: Any = None) -> dict[str, int]:
    return {}


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    return "memory is not counted on the CPU"


def manual_seed(seed: int) -> None:
    torch.default_generator.manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    manual_seed(seed)


def seed() -> None:
    torch.default_generator.seed()


def seed_all() -> None:
    seed()


def initial_seed() -> int:
    return torch.default_generator.initial_seed()


def get_rng_state(device: Any = None) -> torch.Tensor:
    return torch.default_generator.get_state()


def get_rng_state_all() -> list[torch.Tensor]:
    return [get_rng_state()]


def set_rng_state(new_state: torch.Tensor, device: Any = None) -> None:
    torch.default_generator.set_state(new_state)


def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
    for state in new_states:
        set_rng_state(state)


class Event:
    """A point in time."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self._recorded: float | None = None

    def record(self, stream: Any = None) -> None:
        self._recorded = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds between two recorded events.

        Raises:
            RuntimeError: one of them was not recorded.
        """
        if self._recorded is None or end_event._recorded is None:
            raise RuntimeError("elapsed_time: both events must be recorded first")
        return (end_event._recorded - self._recorded) * 1000

    def query(self) -> bool:
        return True

    def synchronize(self) -> None: ...

    def wait(self, stream: Any = None) -> None: ...


class Stream(contextlib.AbstractContextManager["Stream", None]):
    """The order in which work is written down, which is the order in which it is done."""

    def __init__(self, device: Any = None, priority: int = 0, **_: Any) -> None:
        self.device = torch.device("cpu")

    def record_event(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def __exit__(self, *_: object) -> None: ...

    def query(self) -> bool:
        return True

    def synchronize(self) -> None: ...

    def wait_event(self, event: Event) -> None: ...

    def wait_stream(self, stream: Stream) -> None: ...


def current_stream(device: Any = None) -> Stream:
    return Stream()


default_stream = current_stream


def set_stream(stream: Stream) -> None: ...


class StreamContext(contextlib.AbstractContextManager[None, None]):
    """``with torch.cuda.stream(s):``"""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __exit__(self, *_: object) -> None: ...


stream = StreamContext


class device(contextlib.AbstractContextManager[None, None]):
    """``with torch.cuda.device(0):``"""

    def __init__(self, device: Any) -> None:
        self.idx = 0

    def __exit__(self, *_: object) -> None: ...


device_of = device
