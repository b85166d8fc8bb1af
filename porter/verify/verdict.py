"""Whether a script passed: every way ran, all saved the same, and on the NPU nothing was computed on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from porter.verify.outcome import Outcome
from porter.verify.training_verdict import told_of_weights, unlike_training
from porter.verify.ways import Way

#: On a real card sums are rounded in another order. Mean difference of the 256 levels up to which frames are the same.
TOLERATED_MEAN = 2.0

Differences = Mapping[str, Mapping[str, Any] | None]


def problems(ways: list[Way], outcomes: Mapping[str, Outcome], differences: Differences, exact: bool) -> list[str]:
    """Why the script did not pass; empty if it did. With `exact`, results have to be the same bit for bit."""
    reference = outcomes[ways[0].name]
    titles: dict[str, list[str]] = {}
    for way in ways:
        for problem in _problems_of(way, outcomes[way.name], reference, differences.get(way.name), exact):
            titles.setdefault(problem, []).append(way.title)
    return [
        f"{'every way' if len(of_ways) == len(ways) else ' and '.join(of_ways)}: {problem}"
        for problem, of_ways in titles.items()
    ]


def _problems_of(
    way: Way, outcome: Outcome, reference: Outcome, difference: Mapping[str, Any] | None, exact: bool
) -> Iterator[str]:
    if not outcome.ran:
        yield f"line {outcome.line}: {outcome.error}" if outcome.line else str(outcome.error)
        return
    if outcome.refused and way.device != "cpu":
        yield f"the device refuses {', '.join(outcome.refused)}"
    if not outcome.saved:
        yield "nothing was saved: no frames, pictures, sound, arrays or tensors"
    yield from (f"{one['name']} holds NaN or infinity" for one in outcome.saved if not one["finite"])
    yield from _network_problems(way.device, outcome, reference)
    if outcome is not reference and reference.ran and reference.saved and outcome.saved:
        unlike = unlike_training if outcome.is_training else _unlike
        yield from unlike(reference, outcome, difference, exact)


def _network_problems(device: str, outcome: Outcome, reference: Outcome) -> Iterator[str]:
    called = {name: network for name, network in outcome.networks.items() if network["calls"]}
    if not called:
        yield "no network of a pipeline was called"
    for name, network in reference.networks.items():
        if network["calls"] and name not in called:
            yield f"{name} was not called"
    for name, network in called.items():
        yield from (f"{name} {problem}" for problem in _misplaced(device, network))


def _misplaced(device: str, network: Mapping[str, Any]) -> Iterator[str]:
    if not network["computed"].get(device):
        yield f"computed nothing on {device}"
    if network["host_data"] and device != "cpu":
        count = sum(network["host_data"].values())
        named = ", ".join(f"{operator} {times}" for operator, times in list(network["host_data"].items())[:3])
        yield f"computed on the CPU: {count} operations ({named}{', ...' if len(network['host_data']) > 3 else ''})"
    elsewhere = sorted(set(network["devices"]) - {device})
    if elsewhere:
        yield f"took or gave tensors on {', '.join(elsewhere)}"


def _unlike(reference: Outcome, outcome: Outcome, difference: Mapping[str, Any] | None, exact: bool) -> Iterator[str]:
    if reference.same_results(outcome):
        return
    if difference is None:
        yield f"saved {_shapes(outcome)} where the reference saved {_shapes(reference)}"
    elif exact or difference["mean"] > TOLERATED_MEAN:
        yield f"saved other frames than the reference ({told(difference)})"


def told(difference: Mapping[str, Any]) -> str:
    """A difference in words; levels are those of 0 to 255."""
    if "weights" in difference:
        return told_of_weights(difference)
    return (
        f"{difference['share']:.1%} of the values differ, by up to {difference['largest']:g} levels, "
        f"{difference['mean']:.3g} on average"
    )


def _shapes(outcome: Outcome) -> str:
    return ", ".join("x".join(map(str, result["shape"])) for result in outcome.saved)
