"""What each package comes to: the tool's own search run over its source, and a verdict.

imports -> what is installed -> the findings of its files -> a row of the table
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from porter.analysis.packages.imports import NOWHERE, Import, imported_packages
from porter.analysis.packages.installed import Installed, installed_packages, search_path
from porter.discovery import Input
from porter.files import read_file
from porter.findings import FileReport, Finding, counted
from porter.ignore_comments import Ignores
from porter.made_for_cuda import packages as cuda_packages
from porter.port import PYTHON, Plan
from porter.port_file import Job
from porter.runner import run
from porter.unit import Found

CALLS_CUDA, NOT_INSTALLED = "DP701", "DP702"

#: Codes of what the runtime redirect does at run time as the tool does in the text.
_REDIRECTED = re.compile(r"DP1(?:0[1-8]|1[1-35])")

_FOLDERS_LEFT_OUT = re.compile(r"(?:^|/)(?:tests?|testing|examples?|benchmarks?|docs)/")
_CUDA_LIBRARY = re.compile(rb"libcudart\.so|libcublas\.so|libcudnn\.so")
_LARGEST_LIBRARY = 256 << 20


@dataclass(frozen=True)
class Row:
    """One package: what of CUDA it calls, the most frequent first, and the verdict."""

    package: str
    version: str | None
    verdict: str
    calls: tuple[tuple[str, int], ...] = ()
    lacking: int = 0
    files: int = 0
    way_out: str = ""
    first: Import = NOWHERE


def survey(paths: Sequence[str], plan: Plan, python: str | None, processes: int) -> list[Row]:
    """A row for each third-party package that the files import. Raises installed.NoPython."""
    found = imported_packages(paths)
    there = installed_packages(list(found), search_path(python))
    plain = replace(plan, codes=None, own=(), applies=False, keep_cuda=False)
    return [
        replace(_row(name, there.get(name), plain, processes), first=first)
        for name, first in found.items()
        if name not in plan.translation.new.packages
    ]


def findings(rows: Sequence[Row], codes: frozenset[str]) -> Iterator[tuple[str, Finding]]:
    """What there is to say of a package where it is first imported; the import of one for CUDA only has DP203."""
    for row in rows:
        code, severity, message = _said(row)
        if code in codes:
            place = row.first
            yield (
                place.path,
                Finding(
                    code, severity, message, place.line, place.column, place.end_line, place.end_column, row.way_out
                ),
            )


def with_findings(reports: Sequence[FileReport], rows: Sequence[Row], codes: frozenset[str]) -> list[FileReport]:
    """The reports with what is said of packages, and no comment asks to leave out, among their findings."""
    by_path: dict[str, list[Finding]] = {}
    for path, finding in findings(rows, codes):
        by_path.setdefault(path, []).append(finding)
    by_path = {path: _not_ignored(path, own) for path, own in by_path.items()}
    return [
        replace(
            one, findings=tuple(sorted((*one.findings, *by_path[one.path]), key=lambda f: (f.line, f.column, f.code)))
        )
        if one.path in by_path
        else one
        for one in reports
    ]


def _not_ignored(path: str, found: list[Finding]) -> list[Finding]:
    text = _data(path).decode("utf-8-sig", "replace")
    kept, _ = Ignores(text, PYTHON.commenting).split(map(Found, found))
    return [one.finding for one in kept]


def _said(row: Row) -> tuple[str, str, str]:
    name = f"{row.package} {row.version}" if row.version else row.package
    if row.verdict == "not installed":
        return NOT_INSTALLED, "note", f"{row.package} is not installed: what it calls of CUDA is not known"
    calls = ", ".join(f"{what} ({count})" for what, count in row.calls[:3])
    if row.verdict == "ported by npu_compat":
        return CALLS_CUDA, "note", f"{name} calls CUDA in {counted(row.files, 'file')}: {calls}"
    if row.verdict == "has to be ported":
        return (
            CALLS_CUDA,
            "warning",
            f"{name} calls what the target lacks, in {counted(row.lacking, 'place')}: {calls}",
        )
    return "", "", ""


def _row(name: str, installed: Installed | None, plan: Plan, processes: int) -> Row:
    version = installed.version if installed is not None else None
    known, new = cuda_packages().get(name), plan.translation.new
    if known is not None and not known.only_aarch64:
        verdict = "has a build for it" if new.name in known.exists_on else "CUDA only"
        return Row(name, version, verdict, way_out=known.way_out(new.name))
    if name == "torch":  # no package that calls CUDA: it has a build for the accelerator, and what it needs beside it
        beside = f"{new.registered_by} beside it" if new.registered_by else ""
        return Row(name, version, "the framework", way_out=beside)
    if installed is None:
        return Row(name, None, "not installed", way_out="name the environment by --python, or install it")
    reports, supports = _searched(installed.location, plan, processes)
    row = _judged(Row(name, version, "no CUDA"), reports)
    if supports and row.calls:
        return replace(row, verdict=f"supports {new.name} itself", way_out="")
    if row.verdict == "no CUDA" and _links_cuda(installed.location):
        return replace(row, verdict="has libraries for CUDA", way_out="its build for the target, or for the CPU")
    return row


def _judged(row: Row, reports: Sequence[FileReport]) -> Row:
    calls: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    files = 0
    for report in reports:
        redirected = [one for one in report.findings if one.is_fix and _REDIRECTED.fullmatch(one.code)]
        errors = [one for one in report.findings if one.severity == "error" and one.code != "DP203"]
        files += bool(redirected or errors)
        calls.update(_called(one.message) for one in redirected)
        lacking.update(_called(one.message) for one in errors)
    if lacking:
        way_out = "see whether the program comes by there; npu_compat raises an error that names the call"
        return replace(
            row, verdict="has to be ported", calls=(*lacking.most_common(4), *calls.most_common(2)),
            lacking=lacking.total(), files=files, way_out=way_out,
        )  # fmt: skip
    if calls:
        way_out = "import npu_compat at the top of the program redirects them"
        return replace(
            row, verdict="ported by npu_compat", calls=tuple(calls.most_common(6)), files=files, way_out=way_out
        )
    return row


def _called(message: str) -> str:
    """What a finding is about: the words before what becomes of it, or of what is wrong with it."""
    named = re.match(r'"[^"]*"', message) or re.search(r"torch(?:\.\w+)+", message)
    if named:
        return named[0]
    return re.split(r" becomes | has no | is not | needs |: ", message, maxsplit=1)[0].strip()[:60]


def _searched(location: str, plan: Plan, processes: int) -> tuple[list[FileReport], bool]:
    """The findings of its Python files, and whether any of them names the target."""
    inputs = list(_python_files(location))
    reports = list(run(inputs, Job(plan, writes=False), processes))
    names = plan.translation.new
    words = "|".join(
        [rf"{re.escape(one)}" for one in names.packages]
        + [rf"is_(?:torch_)?{names.name}_available", rf"torch\.{names.name}\b"]
    )
    pattern = re.compile(words.encode())
    return reports, any(pattern.search(_data(one.path)) for one in inputs)


def _python_files(location: str) -> Iterator[Input]:
    if os.path.isfile(location):
        yield Input(location)
        return
    for folder, folders, names in os.walk(location):  # whatever .gitignore says: environments ignore themselves
        folders.sort()
        inside = os.path.relpath(folder, location).replace(os.sep, "/") + "/"
        if not _FOLDERS_LEFT_OUT.search(inside):
            yield from (Input(os.path.join(folder, name)) for name in sorted(names) if name.endswith(".py"))


def _data(path: str) -> bytes:
    try:
        return read_file(path)[0]
    except OSError:
        return b""


def _links_cuda(location: str) -> bool:
    """Whether a compiled library of the package asks for CUDA's."""
    for folder, _, names in os.walk(location):
        for name in names:
            path = os.path.join(folder, name)
            is_library = name.endswith((".so", ".pyd")) and os.path.getsize(path) <= _LARGEST_LIBRARY
            if is_library and _CUDA_LIBRARY.search(_data(path)):
                return True
    return False
