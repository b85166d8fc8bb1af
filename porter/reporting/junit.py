"""For what shows tests: JUnit's XML, a suite for each file, a case for each finding; one case passes where none is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from porter.findings import FileReport, Finding
from porter.reporting.context import RunContext


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    """Errors, warnings and fixes that are still to be made are failures; notes pass, and say what they have to say."""
    suites = Element("testsuites", {"name": "diffsynth-port"})
    for report in reports:
        suite = SubElement(suites, "testsuite", {"name": plain(report.path), "file": plain(report.path)})
        for case in _cases(report, context):
            suite.append(case)
        _count(suite, [suite])
    _count(suites, list(suites))
    indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suites, encoding="unicode")


def _cases(report: FileReport, context: RunContext) -> Iterator[Element]:
    shown = [one for one in report.findings if not (one.is_fix and context.rewrites)]
    if report.failure is not None:
        case = _case(report, "could be ported" + (f" at {report.failure.line}" if report.failure.line else ""))
        SubElement(case, "error", {"message": plain(report.failure.message)})
        yield case
    for finding in shown:
        case = _case(report, f"{finding.code} at {_place(finding)}")
        if finding.severity == "note":
            SubElement(case, "system-out").text = plain(_said(finding))
        else:
            failure = SubElement(case, "failure", {"message": plain(finding.message), "type": finding.severity})
            failure.text = plain(_said(finding))
        yield case
    if report.failure is None and not shown:
        yield _case(report, "no findings")


def _case(report: FileReport, name: str) -> Element:
    """The published schema has no place for a line but the name, and no file but the suite's."""
    return Element("testcase", {"name": plain(name), "classname": plain(report.path), "time": "0"})


def _count(element: Element, suites: list[Element]) -> None:
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        element.set(name, str(sum(1 for suite in suites for _ in suite.iter(tag))))
    element.set("time", "0")


def _place(finding: Finding) -> str:
    place = f"{finding.line}:{finding.column}"
    return place if finding.cell is None else f"cell {finding.cell}:{place}"


def _said(finding: Finding) -> str:
    return f"{_place(finding)}: {finding.message}" + (f"\nhelp: {finding.way_out}" if finding.way_out else "")


def plain(text: str) -> str:
    """Without the control characters, which XML has not."""
    return "".join(letter for letter in text if letter in "\t\n\r" or " " <= letter < "\ud800" or letter > "\udfff")
