"""For GitHub Actions: workflow commands, which show up as annotations on the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from porter.findings import FileReport, Finding
from porter.reporting.context import RunContext

#: A fix that has not been made yet fails a check, but GitHub shows ten errors only: those need a person.
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice", "fix": "notice"}


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    return "\n".join(line for report in reports for line in _commands(report, context))


def _commands(report: FileReport, context: RunContext) -> Iterator[str]:
    if report.failure is not None:
        place = {"file": report.path, "line": report.failure.line}
        yield _command("error", {**place, "title": "diffsynth-port"}, report.failure.message)
    for finding in report.findings:
        if not (finding.is_fix and context.rewrites):
            place = {"file": report.path, **_region(finding)}
            yield _command(_COMMANDS[finding.severity], {**place, "title": finding.code}, _message(finding))


def _region(finding: Finding) -> dict[str, int | None]:
    """Lines of a notebook's cell are not lines of its file; columns are refused where the lines differ."""
    if finding.cell is not None:
        return {}
    if finding.line != finding.end_line:
        return {"line": finding.line, "endLine": finding.end_line}
    return {
        "line": finding.line,
        "col": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }


def _message(finding: Finding) -> str:
    place = "" if finding.cell is None else f"cell {finding.cell}, line {finding.line}: "
    way_out = f"\nhelp: {finding.way_out}" if finding.way_out else ""
    return f"{place}{finding.message}{way_out}"


def _command(name: str, properties: dict[str, object], message: str) -> str:
    listed = ",".join(
        f"{key}={_escaped(str(value)).replace(':', '%3A').replace(',', '%2C')}"
        for key, value in properties.items()
        if value is not None
    )
    return f"::{name} {listed}::{_escaped(message)}"


def _escaped(text: str) -> str:
    """What the runner's own toolkit escapes. A file name's undecodable bytes are shown as \\udcXX."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
