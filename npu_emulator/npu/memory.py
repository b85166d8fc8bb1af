"""Memory of the devices: counted, limited, reported. All amounts in bytes."""

from __future__ import annotations

import collections
from typing import Any

import torch

from npu_emulator.npu.devices import Device, _get_device_index

_backend = torch.ops.npu_emulator
_HOST_STATISTICS = ("allocation", "allocated_bytes", "active_requests", "active_bytes")
_HOST_VALUES = ("current", "peak", "allocated", "freed")


def _index(device: Device) -> int:
    return _get_device_index(device, optional=True)


def memory_stats(device: Device = None) -> dict[str, Any]:
    """Every statistic of the allocator, under the names of torch.cuda.memory_stats."""
    return dict(sorted(_backend.memory_stats(_index(device)).items()))


def memory_stats_as_nested_dict(device: Device = None) -> dict[str, Any]:
    """memory_stats as a tree: ``["allocated_bytes"]["all"]["peak"]``."""
    tree: dict[str, Any] = {}
    for name, value in memory_stats(device).items():
        *branches, leaf = name.split(".")
        branch = tree
        for part in branches:
            branch = branch.setdefault(part, {})
        branch[leaf] = value
    return tree


def _statistic(name: str, device: Device) -> int:
    return int(_backend.memory_stats(_index(device))[name])


def memory_allocated(device: Device = None) -> int:
    """Bytes in use by tensors."""
    return _statistic("allocated_bytes.all.current", device)


def max_memory_allocated(device: Device = None) -> int:
    """The most bytes in use since the start or reset_peak_memory_stats."""
    return _statistic("allocated_bytes.all.peak", device)


def memory_reserved(device: Device = None) -> int:
    """Bytes the (modelled) caching allocator holds: in use, or kept for reuse until empty_cache."""
    return _statistic("reserved_bytes.all.current", device)


def max_memory_reserved(device: Device = None) -> int:
    """The most bytes held since the start or reset_peak_memory_stats."""
    return _statistic("reserved_bytes.all.peak", device)


memory_cached = memory_reserved
max_memory_cached = max_memory_reserved


def mem_get_info(device: Device = None) -> tuple[int, int]:
    """Free and total bytes of the device."""
    free, total = _backend.memory_info(_index(device))
    return free, total


def reset_peak_memory_stats(device: Device = None) -> None:
    """Peaks start again from what is in use now."""
    _backend.reset_peak_memory(_index(device))


reset_max_memory_allocated = reset_peak_memory_stats
reset_max_memory_cached = reset_peak_memory_stats


def reset_accumulated_memory_stats(device: Device = None) -> None:
    """Counts of allocations and frees start again from 0."""
    _backend.reset_accumulated_memory(_index(device))


def empty_cache() -> None:
    """Gives back what the caching allocator holds for reuse."""
    _backend.empty_cache()


def empty_virt_addr_cache() -> None:
    """Nothing to give back: addresses are the host's."""


def set_per_process_memory_fraction(fraction: float, device: Device = None) -> None:
    """Limits this process to a share of the device's memory.

    Raises:
        ValueError: the share is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    _backend.set_memory_fraction(_index(device), fraction)


def get_per_process_memory_fraction(device: Device = None) -> float:
    """The share of the device's memory this process may use."""
    return float(_backend.memory_fraction(_index(device)))


def get_allocator_backend() -> str:
    """``native``: there is one allocator."""
    return "native"


def host_memory_stats() -> dict[str, int]:
    """Pinned host memory in use: ``allocated_bytes.current``, ``.peak`` and so on."""
    values = iter(_backend.host_memory())
    return {f"{name}.{kind}": next(values) for name in _HOST_STATISTICS for kind in _HOST_VALUES}


def host_memory_stats_as_nested_dict() -> dict[str, dict[str, int]]:
    """host_memory_stats as a tree."""
    nested: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for name, value in host_memory_stats().items():
        group, _, kind = name.partition(".")
        nested[group][kind] = value
    return dict(nested)


def reset_peak_host_memory_stats() -> None:
    """The peak of pinned memory starts again from what is in use now."""
    _backend.reset_peak_host_memory()


def reset_accumulated_host_memory_stats() -> None:
    """Counts of pinned allocations and frees start again from 0."""
    _backend.reset_accumulated_host_memory()


def host_empty_cache() -> None:
    """Nothing to give back: pinned memory is freed with its tensor."""


def memory_summary(device: Device = None, abbreviated: bool = False) -> str:
    """The main statistics as a small table."""
    index = _index(device)
    stats = memory_stats(index)
    rows = ["allocated_bytes", "reserved_bytes"] + (
        [] if abbreviated else ["active_bytes", "requested_bytes", "allocation"]
    )
    lines = [f"{'NPU ' + str(index):<18}{'current':>16}{'peak':>16}{'total':>16}{'freed':>16}"]
    for row in rows:
        values = (stats[f"{row}.all.{kind}"] for kind in _HOST_VALUES)
        lines.append(f"{row:<18}" + "".join(f"{value:>16}" for value in values))
    lines.append(f"out of memory: {stats['num_ooms']}")
    return "\n".join(lines)
