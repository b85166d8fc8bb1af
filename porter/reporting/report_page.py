"""The report as a page: what there is to do in which order, and every finding below, in groups that open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

from porter.findings import FileReport, counted
from porter.reporting.context import RunContext
from porter.reporting.html import Markup, element, page, table
from porter.reporting.overview import Folder, Group, Overview, overview, titled, told
from porter.rules.rule import Rule

_CHIPS = {"error": "failed", "warning": "skipped", "note": "idle", "fix": "passed"}
_TITLES = {"error": "Errors: they fail on the target", "warning": "Warnings: they may fail there",
           "note": "Notes: they work, but behave differently"}  # fmt: skip

#: So many places of a group are listed outright; the others open.
_PLACES_SHOWN = 40


def render(reports: Sequence[FileReport], context: RunContext) -> str:
    found = overview(reports, context)
    rules = {rule.code: rule for rule in context.rules}
    script = files("porter.reporting").joinpath("page.js").read_text(encoding="utf-8")
    title = f"{titled(context)}: port to {context.target}"
    return page(
        title,
        element("h1", title),
        element("p", ", ".join(_about(context)), class_="soft"),
        element("div", _numbers(found), class_="numbers"),
        _steps(found),
        _filter(),
        _failures(found),
        _section("dependencies", "Dependencies", found.dependencies, rules),
        _section("unsafe", "Unsafe changes: the tool makes them, and they may not be meant", found.unsafe, rules),
        [_section(severity, title, found.of(severity), rules) for severity, title in _TITLES.items()],
        _not_looked_at(context),
        _folders(found.folders),
        _kinds(found, rules),
        _pages(rules[code] for code in found.codes if code in rules),
        element("script", Markup(script)),
    )


def _about(context: RunContext) -> Iterable[str]:
    yield f"diffsynth-port {context.version}"
    if context.hardware:
        yield f"hardware {context.hardware}"
    if context.build:
        yield f"torch_npu {context.build}"
    yield "files were rewritten" if context.rewrites else "nothing was changed"


def _numbers(found: Overview) -> list[Markup]:
    one = found.summary
    counts = [
        ("idle", one.files, "file", ""),
        ("passed", one.fixes, "change", " by the tool" + (f", {one.unsafe:,} of them unsafe" if one.unsafe else "")),
        ("failed", one.errors, "error", ""),
        ("skipped", one.warnings, "warning", ""),
        ("idle", one.notes, "note", ""),
        ("failed", one.failed, "file", " that could not be ported"),
    ]
    return [
        element("span", f"{counted(count, noun)}{rest}", class_=f"chip {kind}")
        for kind, count, noun, rest in counts
        if count
    ]


def _steps(found: Overview) -> Markup:
    if not found.steps:
        return element("p", "Nothing is left to do.")
    steps = [
        element(
            "li",
            element("a", step.title, href=f"#{step.anchor}"),
            f" - {step.amount}. ",
            element("span", step.why, class_="soft"),
        )
        for step in found.steps
    ]  # fmt: skip
    others = (("#folders", "by folder"), ("#effort", "effort by kind"), ("#rules", "the rules"))
    links = [[", " if number else "", element("a", name, href=link)] for number, (link, name) in enumerate(others)]
    also = element("p", "All of it: ", links, ".", class_="soft")
    return element("section", element("h2", "In this order"), element("ol", steps), also)


def _filter() -> Markup:
    box = element("input", type="search", id="filter", placeholder="a file, a rule, a word", autocomplete="off")
    label = element("label", "Show findings with ", box, for_="filter")
    return element("p", label, " ", element("span", "", id="shown", class_="soft", role="status"), class_="filter")


def _failures(found: Overview) -> Markup | None:
    if not found.failures:
        return None
    rows = [[element("code", path), one.line or "", one.message] for path, one in found.failures]
    title = element("h2", f"Files that could not be ported ({len(rows):,})", id="failures")
    return element("section", title, table(("file", "line", "why"), rows))


def _section(anchor: str, title: str, groups: Sequence[Group], rules: dict[str, Rule]) -> Markup | None:
    if not groups:
        return None
    heading = element("h2", title, " ", element("span", told(groups), class_="soft"), id=anchor)
    return element("section", heading, [_group(group, rules) for group in groups], class_="findings")  # fmt: skip


def _group(group: Group, rules: dict[str, Rule]) -> Markup:
    rule = rules.get(group.code)
    chip = element("span", group.code, class_=f"chip {_CHIPS[group.severity]}")
    amount = element("span", f"{group.count:,}", class_="amount")
    named = (
        element(
            "p",
            "Rule ",
            element("a", f"{group.code} {rule.name}", href=f"#{group.code}"),
            f": {rule.summary}.",
            class_="soft",
        )
        if rule
        else None
    )
    reason = element("span", f"\u2002{group.way_out}", class_="soft") if group.severity == "fix" else None
    title = "Why: " if group.severity == "fix" else "What to do: "
    way_out = element("p", element("b", title), group.way_out) if group.way_out else None
    return element(
        "details",
        element("summary", chip, group.message, reason, amount),
        element("div", way_out, named, _places(group), class_="inside"),
        class_="group",
    )  # fmt: skip


def _places(group: Group) -> list[Markup]:
    lines = [
        element("li", element("code", path), " ", element("span", ", ".join(places), class_="soft"))
        for path, places in group.places
    ]
    first, rest = lines[:_PLACES_SHOWN], lines[_PLACES_SHOWN:]
    shown = [element("ul", first, class_="places")]
    if rest:
        more = element("summary", f"{len(rest):,} more files")
        shown.append(element("details", more, element("ul", rest, class_="places inside")))
    return shown


def _not_looked_at(context: RunContext) -> Markup | None:
    if not context.not_looked_at:
        return None
    heading = element("h2", f"Not looked at ({len(context.not_looked_at):,})", id="not-looked-at")
    why = element("p", "These files name CUDA too, and are of kinds that are not ported.", class_="soft")
    listed = element("ul", [element("li", element("code", path)) for path in context.not_looked_at], class_="places")
    summary = element("summary", f"{len(context.not_looked_at):,} files")
    return element("section", heading, why, element("details", summary, element("div", listed, class_="inside")))


def _folders(folders: Sequence[Folder]) -> Markup:
    rows = [
        [element("code", folder.name + ("/..." if folder.whole else "")), one.files, one.changed, one.fixes, one.errors,
         one.warnings, one.notes, one.failed]
        for folder in folders
        for one in [folder.summary]
    ]  # fmt: skip
    header = ("folder", "files", "changed", "changes", "errors", "warnings", "notes", "not ported")
    numbers = [[name, *(_number(cell) for cell in rest)] for name, *rest in rows]
    return element("section", element("h2", "By folder", id="folders"), table(header, numbers, "counts"))


def _kinds(found: Overview, rules: dict[str, Rule]) -> Markup:
    rows: list[list[object]] = [
        [
            element("a", kind.code, href=f"#{kind.code}"),
            rules[kind.code].summary if kind.code in rules else "",
            element("span", _done_by(kind.severity), class_=f"chip {_CHIPS[kind.severity]}"),
            _number(kind.places), _number(kind.different), _number(kind.files),
        ]
        for kind in found.kinds
    ]  # fmt: skip
    why = (
        "Places that say the same are as a rule made right in the same way: the kinds are what has to be thought about."
    )
    header = ("rule", "about", "", "places", "kinds", "files")
    heading = element("h2", "Effort by kind", id="effort")
    return element("section", heading, element("p", why, class_="soft"), table(header, rows, "counts effort"))


def _done_by(severity: str) -> str:
    return "by the tool" if severity == "fix" else severity


def _number(count: object) -> Markup:
    return element("td", f"{count:,}" if count else "-", class_="number")


def _pages(rules: Iterable[Rule]) -> Markup:
    pages = [
        element(
            "details",
            element("summary", element("b", rule.code), f" {rule.name}: {rule.summary}"),
            element("div", element("pre", rule.explanation), class_="inside"),
            id=rule.code,
        )
        for rule in rules
    ]
    return element("section", element("h2", "The rules", id="rules"), pages)
