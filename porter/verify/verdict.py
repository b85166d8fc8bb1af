"""Whether a script passed: every way ran, all saved the same, and on the NPU nothing was computed on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from porter.verify.outcome import Outcome
from porter.verify.placement import misplaced, worth_knowing
from porter.verify.printed_verdict import no_numbers, other_words, unlike_printed
from porter.verify.random_numbers import hint
from porter.verify.saved_verdict import unlike_saved
from porter.verify.training_verdict import TOLERATED, unlike_curves
from porter.verify.ways import Way

Differences = Mapping[str, Mapping[str, Any]]


def problems(ways: list[Way], outcomes: Mapping[str, Outcome], differences: Differences, exact: bool) -> list[str]:
    """Why the script did not pass; empty if it did. With `exact`, results have to be the same bit for bit."""
    reference = outcomes[ways[0].name]

    def of_way(way: Way) -> Iterator[str]:
        outcome = outcomes[way.name]
        yield from _problems_of(way, outcome, reference, _other(way, ways, outcomes))
        if outcome is not reference:
            as_exact = exact and not outcome.mixed_precision
            yield from _unlike_results(reference, outcome, differences.get(way.name), as_exact)
        if exact and outcome.mixed_precision and way is ways[-1]:
            yield from _unlike_the_other(outcome, _other(way, ways, outcomes))

    return _together(ways, of_way)


def notes(
    ways: list[Way], outcomes: Mapping[str, Outcome], differences: Differences | None = None, exact: bool = True
) -> list[str]:
    """What is no failure and worth knowing, and what may be the reason of one."""
    told = _together(ways, lambda way: worth_knowing(way.device, outcomes[way.name], _other(way, ways, outcomes)))
    reference = outcomes[ways[0].name]
    told += _together(ways, lambda way: _words(reference, outcomes[way.name]))
    if reference.threads:  # the program's own affair, on any device
        told += _together(ways, lambda way: outcomes[way.name].ended_threads)
    told += _together(
        ways, lambda way: _hint(way, reference, outcomes[way.name], (differences or {}).get(way.name), exact)
    )
    if any(outcome.mixed_precision for outcome in outcomes.values()):
        told.append(
            "autocast rounds other operators on the CPU than on the NPU: the reference counts to within "
            f"{TOLERATED[False].weights:g}, and the two ways on the NPU have to be the same"
        )
    return told


def _words(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    if reference.ran and outcome.ran:
        yield from other_words(reference, outcome)


def _together(ways: list[Way], told_of: Callable[[Way], Iterable[str]]) -> list[str]:
    """Each sentence once, after the ways that it is told of."""
    titles: dict[str, list[str]] = {}
    for way in ways:
        for sentence in filter(None, told_of(way)):
            titles.setdefault(sentence, []).append(way.title)
    return [
        f"{'every way' if len(of_ways) == len(ways) else ' and '.join(of_ways)}: {sentence}"
        for sentence, of_ways in titles.items()
    ]


def _other(way: Way, ways: list[Way], outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """What came of another way on the same device, if it ran."""
    others = (outcomes[one.name] for one in ways if one.device == way.device and one is not way)
    return next((one for one in others if one.ran), None)


def _problems_of(way: Way, outcome: Outcome, reference: Outcome, other: Outcome | None) -> Iterator[str]:
    if not outcome.ran:
        yield f"line {outcome.line}: {outcome.error}" if outcome.line else str(outcome.error)
        return
    if not reference.threads:
        yield from outcome.ended_threads
    if outcome.refused and way.device != "cpu":
        yield f"the device refuses {', '.join(outcome.refused)}"
    if not outcome.saved and not any(outcome.printed):
        yield "nothing was saved and nothing printed"
    yield from (f"saved NaN or infinity in {one['name']}" for one in outcome.saved if not one["finite"])
    yield from no_numbers(outcome)
    yield from misplaced(way.device, outcome, reference, other)


def _unlike_results(
    reference: Outcome, outcome: Outcome, difference: Mapping[str, Any] | None, exact: bool
) -> Iterator[str]:
    if reference.ran and outcome.ran:
        yield from unlike_curves(reference, outcome, exact)
        yield from unlike_saved(reference, outcome, difference, exact)
        if not any(reference.curves):  # the same numbers, with all their digits
            yield from unlike_printed(reference, outcome, exact)


def _hint(
    way: Way, reference: Outcome, outcome: Outcome, difference: Mapping[str, Any] | None, exact: bool
) -> Iterator[str]:
    """On a real card: an emulated one draws as the reference does."""
    if outcome is not reference and not exact and any(_unlike_results(reference, outcome, difference, exact)):
        yield from hint(way.device, outcome)


def _unlike_the_other(outcome: Outcome, other: Outcome | None) -> Iterator[str]:
    """What is not the same, bit for bit, as in the other way on the same device."""
    if other is None or not outcome.ran:
        return
    if not outcome.saved_the_same(other):
        yield "saved other values than the other way on the same device"
    yield from unlike_printed(other, outcome, True, "the other way on the same device")
