"""SARIF 2.1.0: valid, and saying where and how grave."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from jsonschema import Draft202012Validator

from porter.findings import FileReport, Finding, Replacement
from porter.reporting import render
from porter.reporting.context import RunContext
from porter.rules import all_rules

# The parts of the OASIS schema that a report of ours can touch. Like the original, every object is closed.


def _closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: dict[str, Any], **limits: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **limits}


TEXT = {"type": "string"}
FROM_ONE = {"type": "integer", "minimum": 1}
MESSAGE = _closed(("text",), text={"type": "string", "minLength": 1})
DESCRIPTION = _closed(("text",), text={"type": "string", "minLength": 1}, markdown=TEXT)
LEVEL = {"enum": ["none", "note", "warning", "error"]}
REGION = _closed(("startLine",), startLine=FROM_ONE, startColumn=FROM_ONE, endLine=FROM_ONE, endColumn=FROM_ONE)
ARTIFACT = _closed(("uri",), uri={"type": "string", "pattern": "^[!-~]+$"}, uriBaseId=TEXT)
LOCATION = _closed(
    ("physicalLocation",),
    physicalLocation=_closed(("artifactLocation",), artifactLocation=ARTIFACT, region=REGION),
    logicalLocations=_list(_closed(fullyQualifiedName=TEXT)),
)
RULE = _closed(
    ("id",),
    id=TEXT,
    name=TEXT,
    shortDescription=DESCRIPTION,
    fullDescription=DESCRIPTION,
    help=DESCRIPTION,
)
DRIVER = _closed(("name",), name=TEXT, version=TEXT, rules=_list(RULE, uniqueItems=True))
NOTIFICATION = _closed(("message",), level=LEVEL, message=MESSAGE, locations=_list(LOCATION, uniqueItems=True))
INVOCATION = _closed(
    ("executionSuccessful",),
    executionSuccessful={"type": "boolean"},
    toolExecutionNotifications=_list(NOTIFICATION),
)
REPLACEMENT = _closed(("deletedRegion",), deletedRegion=REGION, insertedContent=_closed(text=TEXT))
CHANGE = _closed(
    ("artifactLocation", "replacements"), artifactLocation=ARTIFACT, replacements=_list(REPLACEMENT, minItems=1)
)
FIX = _closed(("artifactChanges",), description=MESSAGE, artifactChanges=_list(CHANGE, minItems=1, uniqueItems=True))
RESULT = _closed(
    ("message",),
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations=_list(LOCATION),
    fixes=_list(FIX, uniqueItems=True),
)
RUN = _closed(
    ("tool",),
    tool=_closed(("driver",), driver=DRIVER),
    invocations=_list(INVOCATION, uniqueItems=True),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results=_list(RESULT),
    properties={"type": "object"},
)
LOG = _closed(
    ("version", "runs"),
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs=_list(RUN),
)
VALIDATOR = Draft202012Validator(LOG)


def sarif(reports: list[FileReport], context: RunContext) -> dict[str, Any]:
    log = json.loads(render("sarif", reports, context))
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    return run  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "broken"),
    [
        (("runs", 0, "columnKind"), "bytes"),
        (("runs", 0, "results", 0, "level"), "fix"),
        (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "artifactLocation", "uri"), "port me.py"),
        (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "region", "startLine"), 0),
        (("runs", 0, "tool", "driver", "summary"), "text"),
    ],
)
def test_the_schema_here_tells_right_from_wrong(
    path: tuple[Any, ...], broken: object, reports: list[FileReport], checking: RunContext
) -> None:
    log = json.loads(render("sarif", reports, checking))
    assert VALIDATOR.is_valid(log)
    place = log
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = broken
    assert not VALIDATOR.is_valid(log)


def test_results_have_their_level_and_region(reports: list[FileReport], checking: RunContext) -> None:
    run = sarif(reports, checking)
    assert run["columnKind"] == "unicodeCodePoints"
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("DP101", "note"),
        ("DP101", "note"),
        ("DP109", "error"),
        ("DP102", "warning"),
    ]
    error = run["results"][2]
    assert error["message"]["text"].endswith("\nhelp: undo it by hand")
    assert error["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "scripts/port%20me.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 5, "startColumn": 1, "endLine": 7, "endColumn": 2},
    }


def test_fixes_that_were_made_are_no_results(reports: list[FileReport], rewriting: RunContext) -> None:
    assert [result["ruleId"] for result in sarif(reports, rewriting)["results"]] == ["DP109", "DP102"]


def test_every_rule_is_described_and_found_by_its_index(reports: list[FileReport], checking: RunContext) -> None:
    run = sarif(reports, checking)
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("diffsynth-port", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == [rule.code for rule in all_rules()]
    assert driver["rules"][0]["help"]["text"].startswith("# DP101 device-string")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_failures_are_notifications(reports: list[FileReport], checking: RunContext) -> None:
    (invocation,) = sarif(reports, checking)["invocations"]
    assert invocation["executionSuccessful"] is False
    broken, gone = invocation["toolExecutionNotifications"]
    assert broken["locations"][0]["physicalLocation"]["region"] == {"startLine": 3}
    assert gone["message"]["text"] == "no such file"
    assert sarif(reports[:2], checking)["invocations"][0]["executionSuccessful"] is True


@pytest.mark.parametrize("path", ["a b/ü#%?.py", "./x:y.py", "undecodable\udcff.py", "back\\slash.py"])
def test_uris_lead_back_to_the_file(path: str, checking: RunContext, reports: list[FileReport]) -> None:
    (result,) = sarif([FileReport(path, True, reports[0].findings[:1])], checking)["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert urlsplit(uri).scheme == ""
    assert unquote_to_bytes(urlsplit(uri).path) == os.fsencode(os.path.normpath(path))


def test_a_file_elsewhere_has_an_absolute_uri(
    tmp_path: Path, checking: RunContext, reports: list[FileReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    findings = reports[0].findings[:1]
    outside, inside = sarif(
        [FileReport("../out.py", True, findings), FileReport(str(tmp_path / "here/in.py"), True, findings)], checking
    )["results"]
    assert outside["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": (tmp_path / "out.py").as_uri()}
    assert inside["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "in.py"


def test_a_finding_in_a_cell_names_the_cell(checking: RunContext) -> None:
    (result,) = sarif([FileReport("a.ipynb", True, (Finding("DP101", "fix", "m", 2, 4, 2, 8, cell=3),))], checking)[
        "results"
    ]
    (location,) = result["locations"]
    assert location["logicalLocations"] == [{"fullyQualifiedName": "cell 3, line 2, column 4"}]
    assert location["physicalLocation"]["region"] == {"startLine": 1}


def test_fixes_say_what_they_change(checking: RunContext) -> None:
    finding = Finding("DP101", "fix", "m", 2, 4, 2, 8, edits=(Replacement(2, 5, 2, 7, "np"),))
    in_file, in_cell = sarif(
        [FileReport("a.py", True, (finding,)), FileReport("a.ipynb", True, (finding._replace(cell=1),))], checking
    )["results"]
    (change,) = in_file["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [
        {
            "deletedRegion": {"startLine": 2, "startColumn": 5, "endLine": 2, "endColumn": 7},
            "insertedContent": {"text": "np"},
        }
    ]
    assert "fixes" not in in_cell
