"""Findings accepted earlier: kept in a file, so that a run reports only what has come since.

A finding is known by its file, rule and message, and counted: it may move to other lines, but one more of the same
in the same file is new. Fixes are never kept, since the tool makes them itself.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from porter.files import CannotWrite, relative_to, replace_file
from porter.findings import FileReport, Finding

_TOOL = "diffsynth-port"
_VERSION = 1


class BaselineError(Exception):
    """The baseline cannot be read or written; the message names the file and what to do."""


@dataclass(frozen=True)
class Baseline:
    """How often each (file, rule, message) was accepted; files as seen from `folder`, the baseline's own."""

    folder: str
    counts: Mapping[tuple[str, str, str], int]


def write(path: str, reports: Iterable[FileReport]) -> None:
    """Accept every finding of the reports. Raises BaselineError, also for a file there that is no baseline."""
    if os.path.exists(path):
        load(path)
    folder = os.path.dirname(os.path.abspath(path))
    counts = Counter(
        (relative_to(folder, report.path), finding.code, finding.message)
        for report in reports
        for finding in report.findings
        if not finding.is_fix
    )
    findings = [
        {"path": file, "rule": code, "message": message, "count": count}
        for (file, code, message), count in sorted(counts.items())
    ]
    content = json.dumps({"tool": _TOOL, "version": _VERSION, "findings": findings}, indent=2)
    try:
        replace_file(path, content.encode("ascii") + b"\n")
    except CannotWrite as error:
        raise BaselineError(f"{path}: the baseline was not written: {error}") from None


def load(path: str) -> Baseline:
    """Raises BaselineError if the file is missing, unreadable, or was not written by `write`."""
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read())
    except OSError as error:
        raise BaselineError(f"{path}: the baseline cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise BaselineError(_not_a_baseline(path)) from None
    if not isinstance(content, dict) or content.get("tool") != _TOOL:
        raise BaselineError(_not_a_baseline(path))
    if content.get("version") != _VERSION:
        raise BaselineError(
            f"{path}: a baseline of version {content.get('version')!r}; this {_TOOL} knows version {_VERSION}, "
            "so delete the file and write it again with --write-baseline"
        )
    counts = _counts(content.get("findings"))
    if counts is None:
        raise BaselineError(
            f"{path}: the baseline is damaged; restore it, or delete it and write it again with --write-baseline"
        )
    return Baseline(os.path.dirname(os.path.abspath(path)), counts)


def new_findings(report: FileReport, baseline: Baseline) -> tuple[Finding, ...]:
    """The report's fixes, and those of its findings that the baseline does not account for."""
    file = relative_to(baseline.folder, report.path)
    accepted: Counter[tuple[str, str, str]] = Counter()
    new = []
    for finding in report.findings:
        key = (file, finding.code, finding.message)
        if finding.is_fix or accepted[key] == baseline.counts.get(key, 0):
            new.append(finding)
        else:
            accepted[key] += 1
    return tuple(new)


def _not_a_baseline(path: str) -> str:
    return f"{path}: not a baseline of {_TOOL}; name another file, or delete this one and use --write-baseline"


def _counts(findings: Any) -> Counter[tuple[str, str, str]] | None:
    """The accepted findings by their key; None if one of them is not as `write` writes it."""
    if not isinstance(findings, list):
        return None
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in findings:
        match one:
            case {"path": str(path), "rule": str(code), "message": str(message), "count": int(count)} if count > 0:
                counts[path, code, message] += count
            case _:
                return None
    return counts
