"""A run as who plans a port reads it: what there is to do, by kind and in which order. Every number is counted here."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from porter.findings import UNSAFE, Failure, FileReport, Finding, counted
from porter.reporting.context import RunContext
from porter.reporting.summary import Summary, summarize

#: Rules about what a program builds on: packages, images, extensions. They come before the program's own code.
DEPENDENCIES = frozenset({"DP203", "DP204", "DP217", "DP218", "DP410", "DP415", "DP416", "DP417"})

#: The severities of findings that a person has to look at, the gravest first.
FOR_A_PERSON = ("error", "warning", "note")

#: Of a file, how many of its places are meant; it tells no finding from another.
_HOW_OFTEN = re.compile(r": \d+ places?\Z")

_ORDER = (*FOR_A_PERSON, "fix")

#: Beyond this many folders, those of the deepest level are told with the folder above them.
_FOLDERS_SHOWN = 60


@dataclass(frozen=True)
class Group:
    """Findings that say the same: one rule, severity, message and way out. `places` are those by file."""

    code: str
    severity: str
    message: str
    way_out: str
    places: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def count(self) -> int:
        return sum(len(places) for _, places in self.places)


@dataclass(frozen=True)
class Folder:
    """What was done and found in a folder, those below it left out unless `whole`."""

    name: str
    summary: Summary
    whole: bool = False


@dataclass(frozen=True)
class Kind:
    """How much there is of one rule: what it takes to port is told by places, findings that differ, and files."""

    code: str
    severity: str
    places: int
    different: int
    files: int


@dataclass(frozen=True)
class Step:
    """A step of the work, with what it is about: `anchor` is the section that lists it."""

    title: str
    why: str
    amount: str
    anchor: str


@dataclass(frozen=True)
class Overview:
    """The whole of it."""

    summary: Summary
    failures: tuple[tuple[str, Failure], ...]
    dependencies: tuple[Group, ...]
    unsafe: tuple[Group, ...]
    groups: tuple[Group, ...]
    folders: tuple[Folder, ...]
    kinds: tuple[Kind, ...]
    steps: tuple[Step, ...]

    def of(self, severity: str) -> list[Group]:
        """The groups of a severity, less the dependencies."""
        return [group for group in self.groups if group.severity == severity]

    @property
    def codes(self) -> list[str]:
        """Of every rule that found something, the code."""
        return sorted({kind.code for kind in self.kinds})


def overview(reports: Sequence[FileReport], context: RunContext) -> Overview:
    summary = summarize(reports)
    groups = _groups((report.path, one) for report in reports for one in report.findings if not one.is_fix)
    unsafe = _groups(
        (report.path, one) for report in reports if report.changed for one in report.findings if _is_unsafe(one)
    )
    failures = tuple((report.path, report.failure) for report in reports if report.failure is not None)
    dependencies = tuple(group for group in groups if group.code in DEPENDENCIES)
    others = tuple(group for group in groups if group.code not in DEPENDENCIES)
    return Overview(
        summary,
        failures,
        dependencies,
        tuple(unsafe),
        others,
        tuple(_folders(reports)),
        tuple(_kinds(reports)),
        tuple(_steps(summary, failures, dependencies, unsafe, others, context)),
    )


def titled(context: RunContext) -> str:
    """What the run was over, as far as a title has room."""
    names = [posixpath.basename(posixpath.abspath(path.replace("\\", "/"))) or path for path in context.paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "This run"


def told(groups: Sequence[Group]) -> str:
    """`8 kinds, 25 places`, and where not all are of one severity, how many places are of each."""
    by_severity = Counter[str]()
    for group in groups:
        by_severity[group.severity] += group.count
    text = f"{counted(len(groups), 'kind')}, {counted(by_severity.total(), 'place')}"
    if len(by_severity) < 2:
        return text
    return f"{text}: {', '.join(counted(by_severity[one], one) for one in FOR_A_PERSON if one in by_severity)}"


def place(finding: Finding) -> str:
    """`3:20`, and in a notebook `cell 2:3:20`."""
    at = f"{finding.line}:{finding.column}"
    return at if finding.cell is None else f"cell {finding.cell}:{at}"


def _is_unsafe(finding: Finding) -> bool:
    return finding.is_fix and finding.applicability == UNSAFE


def _groups(findings: Iterable[tuple[str, Finding]]) -> list[Group]:
    """Findings, each with its file, that say the same: the gravest first, and of these what stands in most places."""
    places: dict[tuple[str, str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, one in findings:
        places[one.code, one.severity, _HOW_OFTEN.sub("", one.message), one.way_out][path].append(place(one))
    groups = [
        Group(*key, tuple((path, tuple(found)) for path, found in by_file.items())) for key, by_file in places.items()
    ]
    return sorted(groups, key=lambda one: (_ORDER.index(one.severity), -one.count, one.code, one.message, one.way_out))


def _kinds(reports: Iterable[FileReport]) -> list[Kind]:
    places: Counter[tuple[str, str]] = Counter()
    different: dict[tuple[str, str], set[str]] = defaultdict(set)
    files: dict[tuple[str, str], set[str]] = defaultdict(set)
    for report in reports:
        for one in report.findings:
            key = (one.code, one.severity)
            places[key] += 1
            different[key].add(_HOW_OFTEN.sub("", one.message))
            files[key].add(report.path)
    keys = sorted(places, key=lambda key: (_ORDER.index(key[1]), -places[key], key[0]))
    return [Kind(*key, places[key], len(different[key]), len(files[key])) for key in keys]


def _folders(reports: Sequence[FileReport]) -> list[Folder]:
    """Each folder with files of the run; so many that nobody reads them are told by the folders above."""
    depth = max((report.path.count("/") for report in reports), default=0)
    while True:
        by_folder: dict[str, list[FileReport]] = defaultdict(list)
        for report in reports:
            by_folder["/".join(posixpath.dirname(report.path).split("/")[: depth or 1]) or "."].append(report)
        if len(by_folder) <= _FOLDERS_SHOWN or depth <= 1:
            break
        depth -= 1
    return [
        Folder(name, summarize(own), any(posixpath.dirname(report.path) not in (name, "") for report in own))
        for name, own in sorted(by_folder.items())
    ]


def _steps(
    summary: Summary,
    failures: Sequence[object],
    dependencies: Sequence[Group],
    unsafe: Sequence[Group],
    groups: Sequence[Group],
    context: RunContext,
) -> Iterable[Step]:
    if failures:
        why = "The tool could not read them, so nothing is known of them: mend them, and run it again."
        yield Step("Files that could not be ported", why, counted(len(failures), "file"), "failures")
    if dependencies:
        why = "Without a package or image for the target, nothing else can be tried."
        yield Step("Dependencies", why, told(dependencies), "dependencies")
    if summary.fixes:
        done = "They were made; read the diff." if context.rewrites else "The same command without --check makes them."
        amount = f"{counted(summary.fixes, 'place')} in {counted(summary.changed, 'file')}"
        yield Step("Changes that the tool makes", done, amount, "folders")
    if unsafe:
        why = "The tool makes them unless --no-unsafe-fixes says otherwise, and they may not be meant: read each."
        yield Step("Unsafe ones among them", why, told(unsafe), "unsafe")
    whys = {
        "error": ("Errors", "They fail on the target, so the program does not get beyond them."),
        "warning": ("Warnings", "They may fail there, by the types, versions or hardware of the run: try each."),
        "note": ("Notes", "They work, but behave differently: compare results where it matters."),
    }
    for severity, (title, why) in whys.items():
        own = [group for group in groups if group.severity == severity]
        if own:
            yield Step(title, why, told(own), severity)
    if context.not_looked_at:
        why = "They name CUDA and are of kinds that the tool does not read: look through them by hand."
        yield Step("Files not looked at", why, counted(len(context.not_looked_at), "file"), "not-looked-at")
