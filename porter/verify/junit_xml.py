"""A run for what shows tests: JUnit's XML, a case for each script."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from porter.reporting.junit import plain
from porter.verify.outcome import Row


def render(rows: list[Row]) -> str:
    """Seconds are those of all ways together."""
    counts = {
        "tests": len(rows),
        "failures": sum(row.failed for row in rows),
        "skipped": sum(row.skipped is not None for row in rows),
    }
    seconds = [sum(outcome.seconds for outcome in row.outcomes.values()) for row in rows]
    totals = {**{name: str(count) for name, count in counts.items()}, "time": f"{sum(seconds):.3f}"}
    suites = Element("testsuites", {"name": "diffsynth-port verify", **totals})
    suite = SubElement(suites, "testsuite", {"name": "diffsynth-port verify", "errors": "0", **totals})
    for row, time in zip(rows, seconds, strict=True):
        case = SubElement(suite, "testcase", {"classname": "verify", "name": row.script.shown, "time": f"{time:.3f}"})
        if row.failed:
            said = "\n".join([*row.problems, "", f"to repeat it: {row.script.repeat}"])
            SubElement(case, "failure", {"message": plain(row.problems[0])}).text = plain(said)
        elif row.skipped is not None:
            SubElement(case, "skipped", {"message": plain(row.skipped)})
        output = next((outcome.output for outcome in row.outcomes.values() if outcome.output), "")
        if row.failed and output:
            SubElement(case, "system-out").text = plain(output)
    indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suites, encoding="unicode") + "\n"
