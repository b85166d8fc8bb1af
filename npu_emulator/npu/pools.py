"""The allocator's settings, pools and snapshots. There is one allocator, the host's; pools only group."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from npu_emulator.npu.devices import Device, _get_device_index, device_count
from npu_emulator.npu.memory import memory_stats, set_per_process_memory_fraction

_Check = Callable[[str], bool]


def _whole(low: int, high: int | None = None) -> _Check:
    return lambda text: text.isdigit() and int(text) >= low and (high is None or int(text) <= high)


def _share(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and 0 <= float(text) <= 1


def _switch(text: str) -> bool:
    return text in ("True", "False")


# What torch_npu 2.14.0 takes, each with the values it takes.
_SETTINGS: dict[str, _Check] = {
    "base_addr_aligned_kb": _whole(0, 16),
    "expandable_segments": _switch,
    "garbage_collection_threshold": _share,
    "large_segment_size_mb": _whole(1),
    "max_non_split_rounding_mb": _whole(1),
    "max_split_size_mb": _whole(21),
    "multi_stream_lazy_reclaim": _switch,
    "page_size": lambda text: text in ("1g", "2m", "4k"),
    "per_process_memory_fraction": _share,
    "pin_memory_expandable_segments": _switch,
    "pinned_max_cached_size_mb": _whole(0),
    "pinned_max_round_threshold_mb": _whole(0),
    "pinned_mem_register": _switch,
    "pinned_reserve_segment_size_mb": _whole(0),
    "pinned_use_background_threads": _switch,
    "release_lock_on_npumalloc": _switch,
    "roundup_power2_divisions": lambda text: True,
    "segment_size_mb": _whole(20, 512),
    "throw_on_npumalloc_oom": _switch,
}
_settings: dict[str, str] = {}


def _set_allocator_settings(settings: str) -> None:
    """Settings as PYTORCH_NPU_ALLOC_CONF has them, ``key:value,key:value``: checked, kept, read by snapshots.

    ``per_process_memory_fraction`` is carried out; the others decide how the hardware's allocator cuts memory up.

    Raises:
        RuntimeError: an unknown key, or a value the key does not take; names it.
    """
    parsed = dict(_parsed(settings))
    for key, value in parsed.items():
        check = _SETTINGS.get(key)
        if check is None:
            raise RuntimeError(f"Unrecognized key '{key}' in NPU allocator config; known keys: {', '.join(_SETTINGS)}")
        if not check(value):
            raise RuntimeError(f"CachingAllocator option {key} does not take {value!r}")
    _settings.update(parsed)
    if "per_process_memory_fraction" in parsed:
        for index in range(device_count()):
            set_per_process_memory_fraction(float(parsed["per_process_memory_fraction"]), index)


def _parsed(settings: str) -> Iterator[tuple[str, str]]:
    depth, start = 0, 0
    for end, letter in enumerate(settings + ","):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            key, colon, value = settings[start:end].partition(":")
            if key.strip() and not colon:
                raise RuntimeError(f"NPU allocator config: expected key:value, got '{key}'")
            if colon:
                yield key.strip(), value.strip()
            start = end + 1


_raw: dict[int, torch.Tensor] = {}


def caching_allocator_alloc(size: int, device: Device = None, stream: Any = None) -> int:
    """Address of ``size`` bytes on a device, charged to it until caching_allocator_delete.

    Raises:
        TypeError: ``stream`` is neither a stream nor a number.
        torch.OutOfMemoryError: the device has not as much.
    """
    if stream is not None and not isinstance(stream, (torch.Stream, int)):
        raise TypeError(
            f"Invalid type for stream argument: {type(stream).__name__}; expected a torch.npu.Stream or int"
        )
    memory = torch.empty(size, dtype=torch.uint8, device=torch.device("npu", _get_device_index(device, optional=True)))
    _raw[memory.data_ptr()] = memory
    return memory.data_ptr()


def caching_allocator_delete(mem_ptr: int) -> None:
    """Frees what caching_allocator_alloc gave.

    Raises:
        ValueError: it gave no such address.
    """
    if _raw.pop(mem_ptr, None) is None:
        raise ValueError(f"caching_allocator_delete: {mem_ptr:#x} did not come from caching_allocator_alloc")


class MemPool:
    """A group of allocations. They come from the one allocator and are counted with the rest."""

    _numbers = itertools.count(1)

    def __init__(self, allocator: Any = None, use_on_oom: bool = False, no_split: bool = False) -> None:
        self._id = (0, next(self._numbers))
        self._uses = 1

    @property
    def id(self) -> tuple[int, int]:
        """Identity of the pool."""
        return self._id

    def use_count(self) -> int:
        """How many hold the pool: its owner, and each use_mem_pool that is under way."""
        return self._uses

    def snapshot(self) -> list[dict[str, Any]]:
        """No segments: allocations are not told apart by pool."""
        return memory_snapshot(self.id)


@contextlib.contextmanager
def use_mem_pool(pool: MemPool, device: Device = None) -> Iterator[None]:
    """Allocations of the body go to ``pool``."""
    _get_device_index(device, optional=True)
    pool._uses += 1
    try:
        yield
    finally:
        pool._uses -= 1


def memory_snapshot(mempool_id: tuple[int, int] | None = None) -> list[dict[str, Any]]:
    """One segment a device, with what is in use and what is held in reserve as its two blocks; none for a pool."""
    if mempool_id is not None:
        return []
    return [_segment(index) for index in range(device_count())]


def _segment(device: int) -> dict[str, Any]:
    stats = memory_stats(device)
    used, held = stats["allocated_bytes.all.current"], stats["reserved_bytes.all.current"]
    blocks = [("active_allocated", used, stats["requested_bytes.all.current"]), ("inactive", held - used, 0)]
    offsets = itertools.accumulate((size for _, size, _ in blocks), initial=0)
    return {
        "device": device,
        "address": 0,
        "stream": 0,
        "segment_type": "large",
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "total_size": held,
        "allocated_size": used,
        "active_size": used,
        "requested_size": stats["requested_bytes.all.current"],
        "frames": [],
        "blocks": [
            {"address": at, "size": size, "requested_size": asked, "state": state, "frames": []}
            for (state, size, asked), at in zip(blocks, offsets, strict=False)
        ],
    }


def _record_memory_history(enabled: str | None = "all", *args: Any, **kwargs: Any) -> None:
    """Accepted, with a warning: single allocations are not recorded, so snapshots hold totals only."""
    if enabled is not None:
        warnings.warn("the emulated NPU keeps no history of allocations; snapshots hold totals", stacklevel=2)


def _snapshot(device: Device = None, augment_with_fx_traces: bool = False) -> dict[str, Any]:
    """memory_snapshot, the settings of the allocator, and an empty history for each device."""
    return {
        "segments": memory_snapshot(),
        "device_traces": [[] for _ in range(device_count())],
        "allocator_settings": dict(_settings),
    }


def _dump_snapshot(filename: str = "dump_snapshot.pickle", augment_with_fx_traces: bool = False) -> None:
    """Writes _snapshot() to a file, for the viewer of memory snapshots."""
    Path(filename).write_bytes(pickle.dumps(_snapshot()))
