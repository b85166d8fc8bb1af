"""The account of one file: how many of its lines that name CUDA were changed or found, and why the others were not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from porter.accounting.mentions import Place, Reason
from porter.documents import document_of
from porter.findings import SUPPORTS_BOTH, Finding


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
    name: str,
    data: bytes,
    findings: Sequence[Finding],
    left_out: Sequence[Finding] = (),
    is_selection: bool = False,
) -> Account:
    """The account of the file `name`, whose content was `data` before the port.

    `left_out` are the findings that comments ask to leave out. `is_selection` says that rules were left out, by which
    lines may have been passed over.
    """
    for_the_rest = Reason.NOT_SELECTED if is_selection else None
    if any(finding.code == SUPPORTS_BOTH for finding in findings):
        for_the_rest = Reason.SUPPORTS_BOTH
    named = _by_place(document_of(name, data).mentions(data.decode("utf-8-sig", "replace")))
    fixes = _places(finding for finding in findings if finding.is_fix)
    reports = _places(finding for finding in findings if not finding.is_fix)
    changed = tuple(place for place in named if place in fixes)
    found = tuple(place for place in named if place in reports and place not in fixes)
    rest = {place: reasons for place, reasons in named.items() if place not in fixes and place not in reports}
    why = {place: for_the_rest if None in reasons else reasons[0] for place, reasons in rest.items()}
    why |= dict.fromkeys(_places(left_out) & why.keys(), Reason.IGNORED)
    passed_over = tuple((place, reason) for place, reason in why.items() if reason is not None)
    return Account(changed, found, passed_over, tuple(place for place, reason in why.items() if reason is None))


def _by_place(named: Iterable[tuple[Place, Reason | None]]) -> dict[Place, list[Reason | None]]:
    places: dict[Place, list[Reason | None]] = {}
    for place, reason in named:
        places.setdefault(place, []).append(reason)
    return places


def _places(findings: Iterable[Finding]) -> set[Place]:
    return {Place(one.cell or 0, line) for one in findings for line in _lines(one)}


def _lines(finding: Finding) -> Iterator[int]:
    yield from range(finding.line, finding.end_line + 1)
