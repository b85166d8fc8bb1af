"""For GitLab: a Code Quality report, https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from porter.files import relative_to
from porter.findings import FileReport, Finding
from porter.reporting.context import RunContext

_SEVERITIES = {"error": "critical", "warning": "major", "note": "info", "fix": "minor"}


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    """An entry for each finding, and one for each file that could not be ported. Fixes that were made are left out."""
    seen: Counter[str] = Counter()
    entries = []
    for report in reports:
        path = relative_to(os.getcwd(), report.path).encode("utf-8", "backslashreplace").decode("utf-8")
        if report.failure is not None:
            entry = ("diffsynth-port", report.failure.message, "blocker", report.failure.line or 1)
            entries.append(_entry(path, seen, *entry))
        for finding in report.findings:
            if not (finding.is_fix and context.rewrites):
                line = 1 if finding.cell is not None else max(finding.line, 1)
                entries.append(_entry(path, seen, finding.code, _said(finding), _SEVERITIES[finding.severity], line))
    return json.dumps(entries, indent=2)


def _entry(path: str, seen: Counter[str], check: str, said: str, severity: str, line: int) -> dict[str, Any]:
    """The fingerprint leaves out the line: a finding that moves with its code is the same; equal ones are counted."""
    same = f"{path}\0{check}\0{said}"
    seen[same] += 1
    return {
        "description": said,
        "check_name": check,
        "fingerprint": hashlib.sha256(f"{same}\0{seen[same]}".encode()).hexdigest(),
        "severity": severity,
        "location": {"path": path, "lines": {"begin": line}},
    }


def _said(finding: Finding) -> str:
    place = "" if finding.cell is None else f"cell {finding.cell}, line {finding.line}: "
    way_out = f" (help: {finding.way_out})" if finding.way_out else ""
    return f"{place}{finding.message}{way_out}"
