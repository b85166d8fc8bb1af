"""GitLab's Code Quality report: what its documentation asks of an entry, and fingerprints that stay."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from jsonschema import Draft202012Validator

from porter.findings import FileReport
from porter.reporting import render
from porter.reporting.context import RunContext

# From the table of required keys in GitLab's documentation of the format.
ENTRY = {
    "type": "object",
    "required": ["description", "check_name", "fingerprint", "severity", "location"],
    "properties": {
        "description": {"type": "string", "minLength": 1},
        "check_name": {"type": "string", "minLength": 1},
        "fingerprint": {"type": "string", "minLength": 1},
        "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
        "location": {
            "type": "object",
            "required": ["path", "lines"],
            "properties": {
                "path": {"type": "string", "pattern": r"^(?!\./|/)"},
                "lines": {
                    "type": "object",
                    "required": ["begin"],
                    "properties": {"begin": {"type": "integer", "minimum": 1}},
                },
            },
        },
    },
}
VALIDATOR = Draft202012Validator({"type": "array", "items": ENTRY})


def entries(reports: list[FileReport], context: RunContext) -> list[dict[str, Any]]:
    found = json.loads(render("gitlab", reports, context))
    VALIDATOR.validate(found)
    assert len({one["fingerprint"] for one in found}) == len(found)
    return found  # type: ignore[no-any-return]


def test_entries_have_their_place_and_severity(reports: list[FileReport], checking: RunContext) -> None:
    found = entries(reports, checking)
    assert [(one["check_name"], one["severity"], one["location"]["lines"]["begin"]) for one in found] == [
        ("DP101", "minor", 3),
        ("DP101", "minor", 4),
        ("DP109", "critical", 5),
        ("DP102", "major", 9),
        ("diffsynth-port", "blocker", 3),
        ("diffsynth-port", "blocker", 1),
    ]


def test_fixes_that_were_made_are_left_out(reports: list[FileReport], rewriting: RunContext) -> None:
    assert [one["check_name"] for one in entries(reports[:1], rewriting)] == ["DP109", "DP102"]


def test_a_finding_that_moves_keeps_its_fingerprint(reports: list[FileReport], checking: RunContext) -> None:
    findings = reports[0].findings
    moved = replace(
        reports[0], findings=tuple(one._replace(line=one.line + 7, end_line=one.end_line + 7) for one in findings)
    )
    before, after = entries(reports[:1], checking), entries([moved], checking)
    assert [one["fingerprint"] for one in before] == [one["fingerprint"] for one in after]
    twice = entries([replace(reports[0], findings=(findings[0], findings[0]))], checking)
    assert twice[0]["fingerprint"] == before[0]["fingerprint"] != twice[1]["fingerprint"]


def test_a_path_is_seen_from_the_working_directory(reports: list[FileReport], checking: RunContext) -> None:
    (one, *_) = entries([replace(reports[0], path="./scripts/a.py")], checking)
    assert one["location"]["path"] == "scripts/a.py"
