"""The account of one file: how many of its lines that name CUDA were changed or found, and why the others were not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

from porter.accounting.places import Place
from porter.accounting.reasons import Reason
from porter.findings import Finding


@dataclass(frozen=True)
class Account:
    """The lines that name CUDA. `left` are those that nothing was said of, and that no reason is known for."""

    changed: tuple[Place, ...] = ()
    found: tuple[Place, ...] = ()
    passed_over: tuple[tuple[Place, Reason], ...] = ()
    left: tuple[Place, ...] = ()

    @property
    def lines(self) -> int:
        return len(self.changed) + len(self.found) + len(self.passed_over) + len(self.left)


def account(
    kind: str, text: str, findings: Sequence[Finding], for_the_rest: Reason | None = None
) -> Account:
    """The account of a file of this kind (a module of porter.documents), as it was before the port.

    `for_the_rest` is why lines without a reason of their own were passed over.
    """
    fixes = _places(finding for finding in findings if finding.is_fix)
    reports = _places(finding for finding in findings if not finding.is_fix)
    changed, found, passed_over, left = [], [], [], []
    for place, reasons in _by_place(import_module(f"porter.accounting.{kind}").mentions(text)).items():
        if place in fixes:
            changed.append(place)
        elif place in reports:
            found.append(place)
        elif None in reasons and for_the_rest is None:
            left.append(place)
        else:
            passed_over.append((place, next((one for one in reasons if one is not None), for_the_rest)))
    known = tuple((place, reason) for place, reason in passed_over if reason is not None)
    return Account(tuple(changed), tuple(found), known, tuple(left))


def _by_place(named: Iterable[tuple[Place, Reason | None]]) -> dict[Place, list[Reason | None]]:
    places: dict[Place, list[Reason | None]] = {}
    for place, reason in named:
        places.setdefault(place, []).append(reason)
    return places


def _places(findings: Iterable[Finding]) -> set[Place]:
    return {Place(one.cell or 0, line) for one in findings for line in _lines(one)}


def _lines(finding: Finding) -> Iterator[int]:
    yield from range(finding.line, finding.end_line + 1)
