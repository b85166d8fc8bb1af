"""JSON for programs: the whole object, with its keys in their order."""

from __future__ import annotations

import json
from dataclasses import replace

from porter.findings import FileReport
from porter.reporting import render
from porter.reporting.context import RunContext


def test_the_object_and_the_order_of_its_keys(reports: list[FileReport], checking: RunContext) -> None:
    content = json.loads(render("json", reports, checking))
    files = content.pop("files")
    assert json.dumps(content) == json.dumps(
        {
            "version": "1.2.3",
            "target": "npu",
            "hardware": "atlas-a2",
            "torch_npu": "2.14.0",
            "mode": "check",
            "summary": {
                "files": 4,
                "changed": 1,
                "unchanged": 1,
                "failed": 2,
                "fixes": 2,
                "errors": 1,
                "warnings": 1,
                "notes": 0,
                "supporting": 0,
                "unsafe": 0,
            },
            "not_looked_at": [],
        }
    )
    assert [list(file) for file in files] == [["path", "changed", "failure", "findings"]] * 4
    assert files[1] == {"path": "scripts/clean.py", "changed": False, "failure": None, "findings": []}
    assert [file["failure"] for file in files[2:]] == [
        {"message": "'(' was never closed", "line": 3},
        {"message": "no such file", "line": None},
    ]
    assert json.dumps(files[0]["findings"][2]) == json.dumps(
        {
            "code": "DP109",
            "name": "undo",
            "severity": "error",
            "message": "this file names cuda and npu; it was not undone",
            "help": "undo it by hand",
            "cell": None,
            "line": 5,
            "column": 1,
            "end_line": 7,
            "end_column": 2,
            "applicability": None,
            "edits": [],
        }
    )


def test_fixes_stand_in_it_in_every_mode(reports: list[FileReport], rewriting: RunContext) -> None:
    findings = json.loads(render("json", reports, rewriting))["files"][0]["findings"]
    assert [finding["severity"] for finding in findings] == ["fix", "fix", "error", "warning"]
    assert findings[0]["help"] is None


def test_statistics_where_asked_for(reports: list[FileReport], checking: RunContext) -> None:
    assert "statistics" not in json.loads(render("json", reports, checking))
    statistics = json.loads(render("json", reports, replace(checking, statistics=True)))["statistics"]
    assert statistics[0] == {"count": 2, "code": "DP101", "name": "device-string", "severity": "fix"}
    assert [row["code"] for row in statistics] == ["DP101", "DP102", "DP109"]


def test_any_file_name_goes_through_any_terminal(checking: RunContext) -> None:
    text = render("json", [FileReport("提示\udcff.py")], checking)
    assert text.isascii()
    assert json.loads(text)["files"][0]["path"] == "提示\udcff.py"
