"""The reports in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from porter.findings import SEVERITIES, SUPPORTS_BOTH, UNSAFE, FileReport

if TYPE_CHECKING:
    from porter.rules.rule import Rule


@dataclass(frozen=True)
class Summary:
    """How many files, and how many findings in them. `fixes` are those in the files that change.

    `supporting` files serve the target already, and were left at those places. `unsafe` are those of the fixes that
    may change what the program means.
    """

    files: int
    changed: int
    unchanged: int
    failed: int
    fixes: int
    errors: int
    warnings: int
    notes: int
    supporting: int = 0
    unsafe: int = 0

    @property
    def findings(self) -> int:
        return self.errors + self.warnings + self.notes


@dataclass(frozen=True)
class RuleCount:
    """How often a rule made findings of one severity."""

    count: int
    code: str
    name: str
    severity: str


def summarize(reports: Sequence[FileReport]) -> Summary:
    changed = sum(report.changed for report in reports)
    failed = sum(report.failure is not None for report in reports)
    severities = Counter(finding.severity for report in reports for finding in report.findings)
    return Summary(
        files=len(reports),
        changed=changed,
        unchanged=len(reports) - changed - failed,
        failed=failed,
        fixes=sum(finding.is_fix for report in reports if report.changed for finding in report.findings),
        unsafe=sum(
            finding.is_fix and finding.applicability == UNSAFE
            for report in reports
            if report.changed
            for finding in report.findings
        ),
        errors=severities["error"],
        warnings=severities["warning"],
        notes=severities["note"],
        supporting=sum(any(one.code == SUPPORTS_BOTH for one in report.findings) for report in reports),
    )


def count_rules(reports: Sequence[FileReport], rules: Iterable[Rule]) -> list[RuleCount]:
    """The most frequent first; equals by code, then the graver severity first."""
    names = {rule.code: rule.name for rule in rules}
    counts = Counter((finding.code, finding.severity) for report in reports for finding in report.findings)
    rows = [RuleCount(count, code, names.get(code, ""), severity) for (code, severity), count in counts.items()]
    return sorted(rows, key=lambda row: (-row.count, row.code, -SEVERITIES.index(row.severity)))
