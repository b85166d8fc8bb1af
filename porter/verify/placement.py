"""Whether what a script computes is computed on the NPU: by its networks, and by all of it together.

A network that an adapter names belongs there, wherever it is otherwise. Of one that a program brings along, the program
says where it is: there the two ways on the NPU have to agree, and what is on the NPU is not to be computed on the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from porter.verify.outcome import Outcome

_SHOWN = 3

#: A number read out of a tensor of the host: nothing is computed.
_READS = frozenset({"aten._local_scalar_dense"})


def misplaced(device: str, outcome: Outcome, reference: Outcome, other: Outcome | None) -> Iterator[str]:
    """What was not computed where it has to be. `other` is what came of the other way on the same device."""
    if device != "cpu" and not outcome.operators_on(device):
        yield "it computed nothing" if not any(outcome.operators.values()) else f"nothing was computed on {device}"
    for name, network in reference.networks.items():
        if name not in outcome.networks:
            yield f"{name} was not called" if network["calls"] else ""
    for name, network in outcome.networks.items():
        if network["named"] and device != "cpu":
            yield from (f"{name} {problem}" for problem in _of_named(device, network))
        elif device != "cpu":
            as_there = None if other is None else other.networks.get(name)
            yield from (f"{name} {problem}" for problem in _of_another(device, network, as_there))
    if other is not None and device != "cpu":
        elsewhere = _left_on_host(device, outcome, other)
        if elsewhere:
            yield f"computed on the CPU what the other way computes on {device}: {_told(elsewhere)}"


def worth_knowing(device: str, outcome: Outcome, other: Outcome | None) -> Iterator[str]:
    """What is no failure: host work that the program or its library has by design, and data fetched from the device."""
    for why, operators in outcome.host_work.items():
        yield f"{why}: {sum(operators.values())} operators on the host, by the library's design"
    if device == "cpu":
        return
    if other is not None:
        more = _more(
            _more(outcome.operators_on("cpu"), other.operators_on("cpu")), _left_on_host(device, outcome, other)
        )
        more = {name: count for name, count in more.items() if name not in _READS}
        if more:
            yield f"{sum(more.values())} operations on the CPU that the other way has not ({_names(more)})"
    for name, network in outcome.networks.items():
        if network["named"]:
            continue
        if not network["computed"].get(device) and network["computed"]:
            yield f"{name} computed on the CPU alone"
        elif network["host_data"]:
            yield f"{name} has operators on the CPU: {_told(network['host_data'])}"
        fetched = network["moved"].get(f"{device}->cpu")
        if fetched and f"cpu->{device}" in network["moved"]:
            count, size = fetched["operations"], fetched["bytes"]
            yield f"{name} fetched {count} tensors ({size:,} bytes) from {device} in its calls"


def _of_named(device: str, network: Mapping[str, Any]) -> Iterator[str]:
    computed_there = network["computed"].get(device)
    if not computed_there:
        yield f"computed nothing on {device}"
    if network["host_data"] and device != "cpu":
        yield f"computed on the CPU: {_told(network['host_data'])}"
    elsewhere = sorted(set(network["devices"]) - {device})
    if elsewhere and (not computed_there or network["host_data"]):
        yield f"took or gave tensors on {', '.join(elsewhere)}"


def _of_another(device: str, network: Mapping[str, Any], other: Mapping[str, Any] | None) -> Iterator[str]:
    if network["computed"] and not network["computed"].get(device) and f"{device}->cpu" in network["moved"]:
        yield f"computed on the CPU alone, with what it fetched from {device}"
        return
    if other is None:
        return
    if not network["computed"].get(device) and other["computed"].get(device):
        yield f"computed nothing on {device}"
    more = _more(network["host_data"], other["host_data"])
    if more:
        yield f"computed on the CPU: {_told(more)}"


def _left_on_host(device: str, outcome: Outcome, other: Outcome) -> dict[str, int]:
    """The operators that ran more often on the host than the other way, and as much less on the device."""
    more = _more(outcome.operators_on("cpu"), other.operators_on("cpu"))
    less = _more(other.operators_on(device), outcome.operators_on(device))
    known: Counter[str] = Counter()  # these are told of with their network
    for network in outcome.networks.values():
        known.update(network["host_data"])
    left = {name: min(count, less[name]) - known[name] for name, count in more.items() if name in less}
    return {name: count for name, count in left.items() if count > 0}


def _more(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: count - other.get(name, 0) for name, count in one.items() if count > other.get(name, 0)}


def _told(operators: Mapping[str, int]) -> str:
    return f"{sum(operators.values())} operations ({_names(operators)})"


def _names(operators: Mapping[str, int]) -> str:
    """The most frequent operators."""
    most = sorted(operators.items(), key=lambda item: -item[1])
    named = ", ".join(f"{operator} {times}" for operator, times in most[:_SHOWN])
    return f"{named}{', ...' if len(most) > _SHOWN else ''}"
