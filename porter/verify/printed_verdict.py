"""Whether two ways printed the same figures, losses above all; and where there is nothing else, the same words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from porter.verify.outcome import Outcome
from script_trial.printed import without_figures

#: On a real card sums are rounded in another order: relative to their size, figures that are the same.
TOLERATED = 2e-2

_SHOWN = 80


def unlike_printed(reference: Outcome, outcome: Outcome, exact: bool, whom: str = "the reference") -> Iterator[str]:
    """What was not printed as in the reference. With `exact`, figures have to be the same to their last digit."""
    if not reference.has_results and not outcome.has_results:
        yield from _other_words(reference, outcome, whom)
        return
    if len(reference.printed) != len(outcome.printed):
        return  # as many processes as are said to have failed
    for number, (expected, found) in enumerate(zip(reference.figures, outcome.figures, strict=True)):
        which = f" of process {number}" if len(reference.printed) > 1 else ""
        if len(expected) != len(found):
            yield f"printed {len(found)} lines with figures{which} where {whom} printed {len(expected)}"
            continue
        for one, other in zip(expected, found, strict=True):
            if not _same(one, other, exact):
                yield f"printed{which} {_cut(other['line'])!r} where {whom} printed {_cut(one['line'])!r}"
                break


def other_words(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """What was printed besides figures and not as in the reference, where results count and words do not."""
    if not (reference.has_results or outcome.has_results) or len(reference.printed) != len(outcome.printed):
        return
    for expected, found in zip(reference.printed, outcome.printed, strict=True):
        for one, other in zip_longest(expected, found, fillvalue=""):
            if without_figures(one) != without_figures(other):
                yield f"printed {_cut(other)!r} where the reference printed {_cut(one)!r}; words do not count here"
                return


def no_numbers(outcome: Outcome) -> Iterator[str]:
    """The first line of each process in which NaN or infinity was printed."""
    for lines in outcome.figures:
        bad = next((one for one in lines if not all(math.isfinite(float(text)) for text in one["figures"])), None)
        if bad:
            yield f"printed NaN or infinity: {_cut(bad['line'])!r}"


def _same(one: dict[str, Any], other: dict[str, Any], exact: bool) -> bool:
    if exact:
        return bool(one["figures"] == other["figures"])
    pairs = zip_longest(one["figures"], other["figures"], fillvalue="nan")
    return all(math.isclose(float(a), float(b), rel_tol=TOLERATED, abs_tol=TOLERATED) for a, b in pairs)


def _other_words(reference: Outcome, outcome: Outcome, whom: str) -> Iterator[str]:
    nothing: list[str] = []
    for expected, found in zip_longest(reference.printed, outcome.printed, fillvalue=nothing):
        for one, other in zip_longest(expected, found, fillvalue=""):
            if one != other:
                yield f"printed {_cut(other)!r} where {whom} printed {_cut(one)!r}"
                return


def _cut(line: str) -> str:
    return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."
