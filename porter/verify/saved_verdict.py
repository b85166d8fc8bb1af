"""Whether two ways saved the same: frames and other arrays, and tensors, weights above all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from porter.verify.outcome import Outcome
from porter.verify.training_verdict import TOLERATED

#: On a real card sums are rounded in another order. Mean difference of the 256 levels up to which frames are the same;
#: other arrays are up to what weights may be apart, relative to their values.
TOLERATED_MEAN = 2.0


def unlike_saved(
    reference: Outcome, outcome: Outcome, difference: Mapping[str, Any] | None, exact: bool
) -> Iterator[str]:
    """What was not saved as in the reference. `difference` is what `compare` of the trial has found."""
    if reference.saved_names != outcome.saved_names:
        yield from _other_names(reference, outcome)
    elif difference is not None and _shapes(reference) != _shapes(outcome):
        yield f"saved {_shapes(outcome)} where the reference saved {_shapes(reference)}"
    elif difference is not None and exact and _types(reference) != _types(outcome):
        yield f"saved {_types(outcome)} where the reference saved {_types(reference)}"
    elif difference is not None:
        yield from _other_values(difference, exact)


def not_compared(why: str) -> dict[str, Any]:
    """A difference of which nothing is known."""
    return {"frames": None, "words": "", "weights": 0.0, "where": "", "unlike": "", "failed": why}


def told(difference: Mapping[str, Any]) -> str:
    """A difference in words; levels are those of 0 to 255, which pictures have and other arrays have not."""
    frames = difference["frames"]
    parts = []
    if frames and frames["largest"]:
        parts.append(
            f"{frames['share']:.1%} of the values differ, by up to {frames['largest']:g}{_levels(frames)}, "
            f"{frames['mean']:.3g} on average"
        )
    if difference["weights"]:
        parts.append(f"{difference['where']} differs by {difference['weights']:.3g}")
    return "; ".join(parts) or "bits differ, and no value does"


def _levels(frames: Mapping[str, Any]) -> str:
    return " levels" if frames["pictures"] else ""


def _other_values(difference: Mapping[str, Any], exact: bool) -> Iterator[str]:
    frames = difference["frames"]
    if difference["failed"]:
        yield f"saved something else than the reference, and the two could not be compared: {difference['failed']}"
    if difference["words"]:
        yield f"saved other words than the reference in {difference['words']}"
    if difference["unlike"]:
        yield f"saved other weights than the reference: {difference['unlike']}"
    elif not difference["weights"] <= TOLERATED[exact].weights:
        yield f"saved other weights than the reference ({told({**difference, 'frames': None})})"
    if frames and frames["largest"] and (exact or not _is_rounding(frames)):
        what = "frames" if _levels(frames) else "arrays"
        yield f"saved other {what} than the reference ({told({**difference, 'weights': 0.0})})"


def _is_rounding(frames: Mapping[str, Any]) -> bool:
    """Not where anything is no number."""
    return bool(frames["levels"] <= TOLERATED_MEAN and frames["relative"] <= TOLERATED[False].weights)


def _other_names(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    expected, found = reference.saved_names, outcome.saved_names
    if all(kind == "array" for kind, _ in {*expected, *found}) and expected and found:
        yield f"saved {_shapes(outcome)} where the reference saved {_shapes(reference)}"
        return
    missing = [name for kind, name in expected if (kind, name) not in found]
    more = [name for kind, name in found if (kind, name) not in expected]
    told = ", ".join([*(f"no {name}" for name in missing), *(f"{name} besides" for name in more)])
    yield f"saved other files than the reference: {told or 'the same ones in another order'}"


def _shapes(outcome: Outcome) -> str:
    return ", ".join("x".join(map(str, result["shape"])) for result in outcome.saved if result["kind"] == "array")


def _types(outcome: Outcome) -> str:
    return ", ".join(result["dtype"] for result in outcome.saved if result["kind"] == "array")
