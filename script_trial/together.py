"""What several processes recorded, put together as if one had done it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from script_trial.printed import in_any_order


def of_one_program(told: dict[str, Any]) -> dict[str, Any]:
    """What is told of a script, see `run_script`, and of the processes that it started, each of which printed."""
    every = [told, *told["workers"]]
    return {
        "error": told["error"],
        "seconds": told["seconds"],
        "saved": [result for one in every for result in one["saved"]],
        "printed": [one["printed"] for one in every],
        "curves": [one["curve"] for one in every if one["curve"]][:1],
        "notes": list(dict.fromkeys(note for one in every for note in one["notes"])),
        **together(every),
    }


def of_pools(workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Workers of pools as one, or none: any of them may do any of the work, so what they made has an order of its own.

    Lines that they printed stand as `in_any_order` has them, what they saved by its names.
    """
    if not workers:
        return []
    each = [one for worker in workers for one in (worker, *worker["workers"])]
    lists = {kind: [one for worker in each for one in worker[kind]] for kind in ("notes", "left", "seen", "saved")}
    return [
        {
            **together(each),
            **lists,
            "error": next((worker["error"] for worker in each if worker["error"]), None),
            "seconds": max(worker["seconds"] for worker in each),
            "curve": [],
            "saved": sorted(lists["saved"], key=lambda one: (one["name"], one["kind"], one["digest"])),
            "printed": in_any_order([line for worker in each for line in worker["printed"]]),
            "workers": [],
        }
    ]


def together(ranks: list[dict[str, Any]]) -> dict[str, Any]:
    """What is told of networks and operators, `refused`, `on_host`, `adapters` and `peak_memory`."""
    networks: dict[str, dict[str, Any]] = {}
    host_work: dict[str, Counter[str]] = {}
    operators: dict[str, Counter[str]] = {}
    for rank in ranks:
        for name, network in rank["networks"].items():
            networks[name] = _one_more(networks.get(name), network)
        for kind, counters in (("host_work", host_work), ("operators", operators)):
            for name, counts in rank[kind].items():
                counters.setdefault(name, Counter()).update(counts)
    return {
        "networks": networks,
        "outside": _all([rank["outside"] for rank in ranks]),
        "backward": _all([rank["backward"] for rank in ranks]),
        "host_work": host_work,
        "operators": operators,
        "refused": sorted({operator for rank in ranks for operator in rank["refused"]}),
        "refusals": [one for rank in ranks for one in rank["refusals"]],
        "threads": [one for rank in ranks for one in rank["threads"]],
        "on_host": sorted({operator for rank in ranks for operator in rank["on_host"]}),
        "adapters": list(dict.fromkeys(adapter for rank in ranks for adapter in rank["adapters"])),
        "mixed_precision": any(rank["mixed_precision"] for rank in ranks),
        "peak_memory": _largest([rank["peak_memory"] for rank in ranks]),
    }


def _all(networks: list[dict[str, Any]]) -> dict[str, Any]:
    both: dict[str, Any] | None = None
    for network in networks:
        both = _one_more(both, network)
    return both or {}


def _one_more(known: dict[str, Any] | None, network: dict[str, Any]) -> dict[str, Any]:
    if known is None:
        return network
    kinds = {
        kind: {place: _added(known[kind].get(place, {}), network[kind].get(place, {})) for place in both}
        for kind in ("computed", "moved")
        for both in [{**known[kind], **network[kind]}]
    }
    return {
        "named": known["named"] or network["named"],
        "on_device": known["on_device"] or network["on_device"],
        "calls": known["calls"] + network["calls"],
        "devices": sorted({*known["devices"], *network["devices"]}),
        **kinds,
        "host_data": _added(known["host_data"], network["host_data"]),
        "peak_memory": _largest([known["peak_memory"], network["peak_memory"]]),
    }


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _largest(amounts: list[int | None]) -> int | None:
    return max((amount for amount in amounts if amount is not None), default=None)
