"""For people: a line for each finding, what to do about it below, and a summary in plain English."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from porter.findings import UNSAFE, FileReport, Finding, counted
from porter.reporting.context import RunContext
from porter.reporting.summary import RuleCount, Summary, count_rules, summarize

if TYPE_CHECKING:
    from porter.analysis.packages.survey import Row

_COLORS = {"error": "red", "warning": "yellow", "note": "blue", "fix": "green"}

#: What would break a line or steer a terminal: control characters, line separators, undecodable bytes of file names.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    lines = [line for report in reports for line in _lines_about(report, context)]
    if context.explains:
        lines += _explanations(reports, context)
    if context.packages:
        lines += map(_printable, _table_of_packages(context.packages))
    if context.statistics:
        lines += _table(count_rules(reports, context.rules))
    if not context.quiet:
        lines.append(" ".join([_sentences(reports, context), *_about_others(context)]))
    return "\n".join(lines)


def _lines_about(report: FileReport, context: RunContext) -> Iterator[str]:
    path = _styled(_printable(report.path), context, bold=True)
    if report.failure is not None:
        line = "" if report.failure.line is None else f":{report.failure.line}"
        error = _styled("error:", context, fg="red", bold=True)
        yield f"{path}{line}: {error} {_printable(report.failure.message)}"
    for finding in report.findings:
        if _is_shown(finding, context):
            yield f"{path}:{_place(finding)}: {_label(finding, context)} {_printable(finding.message)}"
            if finding.way_out:
                yield f"    {_styled('help:', context, fg='cyan')} {_printable(finding.way_out)}"


def _explanations(reports: Sequence[FileReport], context: RunContext) -> Iterator[str]:
    """Each line that was passed over, each file that was not looked at, and how many there are by reason."""
    counts: Counter[str] = Counter()
    for report in reports:
        for place, reason in report.account.passed_over if report.account else ():
            cell = f"cell {place.cell}:" if place.cell else ""
            yield f"{_printable(report.path)}:{cell}{place.line}: passed over: {reason.value}"
            counts[reason.value] += 1
        for place in report.account.left if report.account else ():
            cell = f"cell {place.cell}:" if place.cell else ""
            yield f"{_printable(report.path)}:{cell}{place.line}: passed over, and nobody knows why; please report this"
    yield from (f"{_printable(path)}: not looked at" for path in context.not_looked_at)
    yield from (f"{count:6}  {reason}" for reason, count in counts.most_common())


def _is_shown(finding: Finding, context: RunContext) -> bool:
    """Fixes are listed where they were looked for, and only counted where they were made; --diff shows them itself."""
    if context.quiet:
        return finding.severity == "error"
    return not finding.is_fix or context.mode == "check"


def _place(finding: Finding) -> str:
    place = f"{finding.line}:{finding.column}"
    return place if finding.cell is None else f"cell {finding.cell}:{place}"


def _label(finding: Finding, context: RunContext) -> str:
    code = _styled(finding.code, context, fg=_COLORS[finding.severity], bold=True)
    if not finding.is_fix:
        return f"{code} {finding.severity}"
    return f"{code} {'[unsafe]' if finding.applicability == UNSAFE else '[*]'}"


def _table(rows: Sequence[RuleCount]) -> list[str]:
    """Right-aligned counts, then code, name and severity in columns."""
    count_width = max((len(str(row.count)) for row in rows), default=0)
    name_width = max((len(row.name) for row in rows), default=0)
    return [f"{row.count:{count_width}}  {row.code}  {row.name:{name_width}}  {row.severity}" for row in rows]


def _sentences(reports: Sequence[FileReport], context: RunContext) -> str:
    summary = summarize(reports)
    if not summary.files:
        return f"No files to port{_printable(_in_paths(context.paths))}."
    sentences = [_about_files(summary, context), _about_support(summary, context), _about_findings(summary)]
    if context.adds_ignores and summary.findings:
        sentences.append("They are left where no comment can stand; per-file-ignores or a baseline accepts them.")
    if context.output is not None:
        sentences.append(_about_the_copy(reports, _printable(context.output)))
    if summary.failed:
        sentences.append(f"{counted(summary.failed, 'file')} could not be ported.")
    return " ".join(sentence for sentence in sentences if sentence)


def _in_paths(paths: Sequence[str]) -> str:
    """Where nothing was found; of many paths only how many they are."""
    if len(paths) > 3:
        return f" in the {len(paths)} paths given"
    return f" in {', '.join(paths)}" if paths else ""


def _about_the_copy(reports: Sequence[FileReport], output: str) -> str:
    missing = sum(report.missing for report in reports)
    if missing == len(reports):
        return f"There is no copy in {output}."
    return f"The copy is in {output}, without {counted(missing, 'file')}." if missing else f"The copy is in {output}."


def _about_others(context: RunContext) -> Iterator[str]:
    if context.not_looked_at:
        endings = Counter(os.path.splitext(path)[1] or os.path.basename(path) for path in context.not_looked_at)
        listed = ", ".join(f"{ending} {count}" for ending, count in endings.most_common(4))
        count = len(context.not_looked_at)
        names, were = ("names", "was") if count == 1 else ("name", "were")
        yield f"{counted(count, 'other file')} {names} CUDA and {were} not looked at ({listed})."


def _about_files(summary: Summary, context: RunContext) -> str:
    if not summary.changed:
        return f"{counted(summary.unchanged, 'file')} left unchanged." if summary.unchanged else ""
    done = "given an NPU form" if context.npu_scripts else "rewritten"
    done = "given ignore comments" if context.adds_ignores else done
    verb = done if context.rewrites else f"would be {done}"
    changed = f"{counted(summary.changed, 'file')} {verb} in {counted(summary.fixes, 'place')}"
    if summary.unsafe:
        changed += f" ({summary.unsafe} of them unsafe)"
    return f"{changed}, {summary.unchanged} left unchanged." if summary.unchanged else f"{changed}."


def _about_support(summary: Summary, context: RunContext) -> str:
    if not summary.supporting:
        return ""
    verb = "supports" if summary.supporting == 1 else "support"
    return f"{counted(summary.supporting, 'file')} already {verb} {context.target}."


def _about_findings(summary: Summary) -> str:
    if not summary.findings:
        return "No findings." if summary.files > summary.failed else ""
    counts = ((summary.errors, "error"), (summary.warnings, "warning"), (summary.notes, "note"))
    parts = ", ".join(counted(count, noun) for count, noun in counts if count)
    return f"{counted(summary.findings, 'finding')}: {parts}."


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _styled(text: str, context: RunContext, fg: str | None = None, bold: bool | None = None) -> str:
    return click.style(text, fg=fg, bold=bold) if context.color else text


def _table_of_packages(rows: Sequence[Row]) -> list[str]:
    """Package, version, verdict, what it calls of CUDA or what to do; in columns."""
    cells = [("package", "version", "verdict", "calls of CUDA, or what to do")]
    cells += [(row.package, row.version or "-", row.verdict, _calls_or_way_out(row)) for row in rows]
    widths = [max(len(cell[at]) for cell in cells) for at in range(3)]
    return ["  ".join([*(one[at].ljust(widths[at]) for at in range(3)), one[3]]).rstrip() for one in cells]


def _calls_or_way_out(row: Row) -> str:
    return ", ".join(f"{name} ({count})" for name, count in row.calls[:4]) if row.calls else row.way_out
