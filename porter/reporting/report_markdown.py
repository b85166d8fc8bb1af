"""The report in Markdown: the same as the page, for an issue, a wiki or a review."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from porter.findings import FileReport, counted
from porter.reporting.context import RunContext
from porter.reporting.overview import Group, Overview, overview, titled, told

#: So many files of a group are listed; the page lists all.
_FILES_SHOWN = 20

_SECTIONS = (("error", "Errors"), ("warning", "Warnings"), ("note", "Notes"))


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    return "\n".join(_lines(overview(reports, context), context)) + "\n"


def _lines(found: Overview, context: RunContext) -> Iterator[str]:
    one, build = found.summary, f", torch_npu {context.build}" if context.build else ""
    yield f"# {_text(titled(context))}: port to {context.target}"
    yield ""
    yield (
        f"diffsynth-port {context.version}, {context.hardware or context.target}{build}. {counted(one.files, 'file')}, "
        + (
            f"{counted(one.fixes, 'change')} by the tool ({one.unsafe:,} unsafe), {counted(one.errors, 'error')}, "
            f"{counted(one.warnings, 'warning')}, {counted(one.notes, 'note')}, {one.failed:,} not ported."
        )
    )
    yield from ("", "## In this order", "") if found.steps else ("", "Nothing is left to do.")
    for number, step in enumerate(found.steps, 1):
        yield f"{number}. **{step.title}**: {step.amount}. {step.why}"
    if found.failures:
        yield from ("", "## Files that could not be ported", "")
        rows = ([_code(path), failure.line or "", _text(failure.message)] for path, failure in found.failures)
        yield from _table(("file", "line", "why"), rows)
    yield from _groups("Dependencies", found.dependencies)
    yield from _groups("Unsafe changes", found.unsafe)
    for severity, title in _SECTIONS:
        yield from _groups(title, found.of(severity))
    if context.not_looked_at:
        yield from ("", "## Not looked at", "")
        yield from (f"- {_code(path)}" for path in context.not_looked_at)
    yield from ("", "## By folder", "")
    header = ("folder", "files", "changed", "changes", "errors", "warnings", "notes", "not ported")
    yield from _table(
        header,
        (
            [_code(folder.name + ("/..." if folder.whole else "")), s.files, s.changed, s.fixes, s.errors, s.warnings,
             s.notes, s.failed]
            for folder in found.folders
            for s in [folder.summary]
        ),
    )  # fmt: skip
    if found.kinds:
        yield from ("", "## Effort by kind", "")
        names = {rule.code: rule.summary for rule in context.rules}
        rows = ([k.code, _text(names.get(k.code, "")), k.severity, k.places, k.different, k.files] for k in found.kinds)
        yield from _table(("rule", "about", "severity", "places", "kinds", "files"), rows)
    yield from ("", "`diffsynth-port --explain RULE` prints a rule's page.")


def _groups(title: str, groups: Sequence[Group]) -> Iterator[str]:
    if not groups:
        return
    yield from ("", f"## {title}: {told(groups)}")
    for group in groups:
        yield from ("", f"### {group.code}: {_text(group.message)} ({counted(group.count, 'place')})", "")
        if group.way_out:
            title = "Why" if group.severity == "fix" else "What to do"
            yield from (f"{title}: {_text(group.way_out)}", "")
        yield from (f"- {_code(path)} {', '.join(places)}" for path, places in group.places[:_FILES_SHOWN])
        if (more := len(group.places) - _FILES_SHOWN) > 0:
            yield f"- and {counted(more, 'more file')}"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def _code(path: str) -> str:
    return f"`{path}`".replace("|", "\\|").encode("utf-8", "backslashreplace").decode("utf-8")


def _text(text: str) -> str:
    """Text in which nothing is markup."""
    text = re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
