"""For programs: one object with every file and every finding. Keys keep their order and are always there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from porter.accounting.account import Account
from porter.accounting.mentions import Place
from porter.findings import FileReport, Finding
from porter.reporting.context import RunContext
from porter.reporting.summary import count_rules, summarize

if TYPE_CHECKING:
    from porter.analysis.packages.survey import Row


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    names = {rule.code: rule.name for rule in context.rules}
    outcome: dict[str, Any] = {
        "version": context.version,
        "target": context.target,
        "hardware": context.hardware,
        "torch_npu": context.build,
        "mode": context.mode,
        "files": [_file(report, names) for report in reports],
        "summary": asdict(summarize(reports)),
        "not_looked_at": list(context.not_looked_at),
    }
    if context.packages is not None:
        outcome["packages"] = _packages(context.packages)
    if context.statistics:
        outcome["statistics"] = [asdict(row) for row in count_rules(reports, context.rules)]
    return json.dumps(outcome, indent=2)


def _file(report: FileReport, names: dict[str, str]) -> dict[str, Any]:
    failure = report.failure
    return {
        "path": report.path,
        "changed": report.changed,
        "failure": None if failure is None else {"message": failure.message, "line": failure.line},
        "findings": [_finding(finding, names) for finding in report.findings],
    } | ({} if report.account is None else {"account": _account(report.account)})


def _account(account: Account) -> dict[str, Any]:
    """The lines that name CUDA."""
    return {
        "changed": [_place(place) for place in account.changed],
        "found": [_place(place) for place in account.found],
        "passed_over": [{**_place(place), "reason": reason.name.lower()} for place, reason in account.passed_over],
        "left": [_place(place) for place in account.left],
    }


def _place(place: Place) -> dict[str, int | None]:
    return {"cell": place.cell or None, "line": place.line}


def _finding(finding: Finding, names: dict[str, str]) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": names.get(finding.code),
        "severity": finding.severity,
        "message": finding.message,
        "help": finding.way_out or None,
        "cell": finding.cell,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "applicability": finding.applicability or None,
        "edits": [edit._asdict() for edit in finding.edits],
    }


def _packages(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        first = dict(zip(row.first._fields, row.first, strict=True))
        calls = [{"name": name, "count": count} for name, count in row.calls]
        found.append({**asdict(row), "first": first, "calls": calls, "way_out": row.way_out or None})
    return found
