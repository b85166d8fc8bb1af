"""JUnit's XML: the elements and attributes that its schema knows, in its order, and counts that are right."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

from porter.findings import FileReport, Finding
from porter.reporting import render
from porter.reporting.context import RunContext

#: By element, from the Ant JUnit schema as Jenkins reads it: attributes it may have, and children.
KNOWN = {
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, {"testsuite"}),
    "testsuite": ({"name", "file", "tests", "failures", "errors", "time"}, {"testcase"}),
    "testcase": ({"name", "classname", "time"}, {"failure", "error", "system-out"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "system-out": (set(), set()),
}


def junit(reports: list[FileReport], context: RunContext) -> Element:
    root = fromstring(render("junit", reports, context).encode())
    for element in root.iter():
        attributes, children = KNOWN[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
    for suite in (root, *root):
        assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
        assert int(suite.attrib["failures"]) == len(list(suite.iter("failure")))
        assert int(suite.attrib["errors"]) == len(list(suite.iter("error")))
    return root


def test_a_suite_for_each_file_and_a_case_for_each_finding(reports: list[FileReport], checking: RunContext) -> None:
    root = junit(reports, checking)
    assert [(suite.attrib["name"], len(suite)) for suite in root] == [
        ("scripts/port me.py", 4),
        ("scripts/clean.py", 1),
        ("scripts/broken.py", 1),
        ("gone.py", 1),
    ]
    assert root.attrib["failures"] == "4"
    assert root.attrib["errors"] == "2"
    error = root[0][2][0]
    assert (error.tag, error.attrib["type"]) == ("failure", "error")
    assert error.text == "5:1: this file names cuda and npu; it was not undone\nhelp: undo it by hand"


def test_a_note_passes_and_made_fixes_are_left_out(rewriting: RunContext) -> None:
    fix, note = Finding("DP101", "fix", "m", 1, 1, 1, 2), Finding("DP206", "note", "other\x00 numbers", 2, 1, 2, 2)
    root = junit([FileReport("a.py", True, (fix, note))], rewriting)
    (case,) = root.iter("testcase")
    assert root.attrib["failures"] == "0"
    assert case[0].text == "2:1: other numbers"
