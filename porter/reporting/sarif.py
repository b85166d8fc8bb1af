"""For code scanning: SARIF 2.1.0, https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html.

Fixes are results (level note) until they are made. A file that could not be ported is no result of a rule, but a
notification of the tool.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from porter.findings import FileReport, Finding
from porter.reporting.context import RunContext
from porter.rules.rule import Rule

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "note": "note", "fix": "note"}


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(reports, context)]}
    return json.dumps(log, indent=2)


def _run(reports: Sequence[FileReport], context: RunContext) -> dict[str, Any]:
    rules = context.rules
    index = {rule.code: at for at, rule in enumerate(rules)}
    return {
        "tool": {
            "driver": {
                "name": "diffsynth-port",
                "version": context.version,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "invocations": [_invocation(reports)],
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(finding, uri, index)
            for report in reports
            for uri in [_artifact(report.path)]
            for finding in report.findings
            if not (finding.is_fix and context.rewrites)
        ],
        "properties": {"target": context.target, "hardware": context.hardware, "torch_npu": context.build},
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.summary},
        "help": {"text": rule.explanation, "markdown": rule.explanation},
    }


def _invocation(reports: Sequence[FileReport]) -> dict[str, Any]:
    failed = [report for report in reports if report.failure is not None]
    return {
        "executionSuccessful": not failed,
        "toolExecutionNotifications": [_notification(report) for report in failed],
    }


def _notification(report: FileReport) -> dict[str, Any]:
    assert report.failure is not None
    place: dict[str, Any] = {"artifactLocation": _artifact(report.path)}
    if report.failure.line is not None:
        place["region"] = {"startLine": report.failure.line}
    return {
        "level": "error",
        "message": {"text": report.failure.message},
        "locations": [{"physicalLocation": place}],
    }


def _result(finding: Finding, artifact: dict[str, str], index: dict[str, int]) -> dict[str, Any]:
    way_out = f"\nhelp: {finding.way_out}" if finding.way_out else ""
    result: dict[str, Any] = {"ruleId": finding.code}
    if finding.code in index:
        result["ruleIndex"] = index[finding.code]
    return (
        result
        | {
            "level": _LEVELS[finding.severity],
            "message": {"text": finding.message + way_out},
            "locations": [_location(finding, artifact)],
        }
        | ({"properties": {"applicability": finding.applicability}} if finding.applicability else {})
        | ({"fixes": [_fix(finding, artifact)]} if finding.edits and finding.cell is None else {})
    )


def _fix(finding: Finding, artifact: dict[str, str]) -> dict[str, Any]:
    """What the tool would change. Lines of a notebook's cell are not lines of its file, so there is none for those."""
    replacements = [
        {
            "deletedRegion": {
                "startLine": edit.line,
                "startColumn": edit.column,
                "endLine": edit.end_line,
                "endColumn": edit.end_column,
            },
            "insertedContent": {"text": edit.content},
        }
        for edit in finding.edits
    ]
    return {
        "description": {"text": finding.message},
        "artifactChanges": [{"artifactLocation": artifact, "replacements": replacements}],
    }


def _location(finding: Finding, artifact: dict[str, str]) -> dict[str, Any]:
    """Lines of a notebook's cell are not lines of its file: they are named, and the region is the file's start."""
    if finding.cell is not None:
        name = f"cell {finding.cell}, line {finding.line}, column {finding.column}"
        return {
            "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": 1}},
            "logicalLocations": [{"fullyQualifiedName": name}],
        }
    region = {
        "startLine": finding.line,
        "startColumn": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}}


def _artifact(path: str) -> dict[str, str]:
    """Relative to the working directory, which code scanning takes for the repository; absolute outside of it."""
    absolute, here = Path(os.path.abspath(path)), Path.cwd()
    if not absolute.is_relative_to(here):
        return {"uri": absolute.as_uri()}
    return {"uri": quote(os.fsencode(absolute.relative_to(here).as_posix())), "uriBaseId": "%SRCROOT%"}
