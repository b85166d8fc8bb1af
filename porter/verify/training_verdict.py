"""Whether two ways of running a training trained alike: the same losses and learning rates at each update."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from porter.verify.outcome import Outcome


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be apart, relative to their size and as such."""

    losses: float
    weights: float


#: By whether the device computes as the CPU does. That is what training is tested with; a real card rounds in another
#: order, in bfloat16 as a rule.
TOLERATED = {True: Tolerance(1e-5, 1e-5), False: Tolerance(2e-2, 2e-2)}


def unlike_curves(reference: Outcome, outcome: Outcome, exact: bool) -> Iterator[str]:
    """The first number of each launch's updates that is not as in the reference."""
    tolerance = TOLERATED[exact].losses
    for number, (expected, found) in enumerate(zip(reference.curves, outcome.curves, strict=False), start=1):
        which = f" of launch {number}" if len(reference.curves) > 1 else ""
        if len(expected) != len(found):
            yield f"made {len(found)} updates{which} where the reference made {len(expected)}"
            continue
        for one, other in zip(expected, found, strict=True):
            unlike = next((name for name in one if not _close(one[name], other.get(name, math.nan), tolerance)), None)
            if unlike:
                value, at = other.get(unlike, math.nan), f"at update {one['update']:g}{which}"
                yield f"{unlike} {value:.6g} {at} where the reference has {one[unlike]:.6g}"
                break
    if len(reference.curves) != len(outcome.curves):
        yield f"made {len(outcome.curves)} launches where the reference made {len(reference.curves)}"


def _close(one: float, other: float, tolerance: float) -> bool:
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance if abs(one) > tolerance else 0.0)
