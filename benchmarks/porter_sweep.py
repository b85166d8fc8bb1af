"""Port every installed Python file that says "cuda", in memory, and check what must hold for each.

    python -m benchmarks.porter_sweep [--root FOLDER] [--jobs 2] [--limit 100 --seed 0]

- Nothing crashes, and what Python can read the porter can.
- What comes out parses, and porting it once more changes nothing.
- Every line that changed belongs to the finding of a rule; a line is added only for the import of DP103.
- What is reported rather than rewritten is reported alike before and after.

Prints the counts, and exits with 1 and the names of the files if anything does not hold.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import click

from porter.documents import port_bytes
from porter.documents.document import CannotPort, PortedBytes
from porter.findings import Finding
from porter.port import Plan
from porter.rules import all_rules
from porter.rules.mem_get_info import IMPORT

PLAN = Plan("npu")

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass
class Outcome:
    """What came of one file: how many findings by code and severity, and everything that does not hold."""

    path: Path
    changed: bool = False
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: str = ""
    violations: list[str] = field(default_factory=list)


def files_with_cuda(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*.py")) if path.is_file() and b"cuda" in path.read_bytes()]


def sweep(path: Path) -> Outcome:
    """Port one file twice, in memory. Never raises."""
    outcome, data = Outcome(path), path.read_bytes()
    try:
        ported = port_bytes(str(path), data, PLAN)
        outcome.changed = ported.data != data
        outcome.findings.update((finding.code, finding.severity) for finding in ported.findings)
        outcome.violations = list(_violations(str(path), data, ported))
    except CannotPort as error:
        outcome.refused = str(error)
        if _parses(data):
            outcome.violations.append(f"refused, though Python reads it: {error}")
    except Exception as error:
        outcome.violations.append(f"crashed: {type(error).__name__}: {error}")
    return outcome


def _violations(name: str, data: bytes, ported: PortedBytes) -> Iterator[str]:
    if ported.data == data:
        if any(finding.is_fix for finding in ported.findings):
            yield "something was fixed, and nothing changed"
        return
    if _parses(data) and not _parses(ported.data):
        yield "what came out does not parse"
    old, new = _LINE.findall(data), _LINE.findall(ported.data)
    added = _added_import(old, new, ported.findings)
    if added is not None:
        del new[added - 1]
    if len(old) != len(new):
        yield f"{len(old)} lines became {len(new)}"
    fixed = {line for finding in ported.findings if finding.is_fix for line in _lines(finding)}
    for number, (before, after) in enumerate(zip(old, new, strict=False), start=1):
        if before != after and number not in fixed:
            yield f"line {number} changed without a finding"
    again = port_bytes(name, ported.data, PLAN)
    if again.data != ported.data:
        yield "porting it once more changes it"
    yield from _told_apart(_reports(ported.findings), _reports(again.findings, added))


def _parses(data: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return True


def _added_import(old: list[bytes], new: list[bytes], findings: Sequence[Finding]) -> int | None:
    """The line, from 1, on which the import of DP103 was added."""
    if len(new) != len(old) + 1 or not any(finding.code == "DP103" for finding in findings):
        return None
    for number, line in enumerate(new, start=1):
        if line.strip() == IMPORT.encode() and old[number - 1 : number] != [line]:
            return number
    return None


def _lines(finding: Finding) -> range:
    return range(finding.line, finding.end_line + 1)


def _reports(findings: Sequence[Finding], added: int | None = None) -> Counter[tuple[int, str, str, str]]:
    """The findings that are not fixes, on the lines they have without the added one."""
    return Counter(
        (one.line - (added is not None and one.line > added), one.code, one.severity, f"{one.message} {one.way_out}")
        for one in findings
        if not one.is_fix
    )


def _told_apart(before: Counter[tuple[int, str, str, str]], after: Counter[tuple[int, str, str, str]]) -> Iterator[str]:
    for line, code, severity, message in before - after:
        yield f"line {line}: {code} ({severity}) is gone after porting: {message}"
    for line, code, severity, message in after - before:
        yield f"line {line}: {code} ({severity}) is new after porting: {message}"


def sweep_all(paths: Sequence[Path], jobs: int) -> Iterator[Outcome]:
    """Every file on `jobs` processes, as they are done. One that takes its process down is named."""
    with ProcessPoolExecutor(jobs) as pool:
        futures = {pool.submit(sweep, path): path for path in paths}
        unfinished = []
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                unfinished.append(futures[future])
    for path in unfinished:
        try:
            with ProcessPoolExecutor(1) as pool:
                yield pool.submit(sweep, path).result()
        except BrokenProcessPool:
            yield Outcome(path, violations=["took its process down"])


def table(outcomes: Sequence[Outcome], size: int, seconds: float) -> str:
    names = {rule.code: rule.name for rule in all_rules()}
    findings: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        findings.update(outcome.findings)
    refused = [outcome for outcome in outcomes if outcome.refused]
    lines = [
        f"{len(outcomes)} files, {size / 1e6:.1f} MB, {seconds:.0f} s",
        f"{sum(outcome.changed for outcome in outcomes)} changed, {len(refused)} refused",
        *(f"  {outcome.path}: {outcome.refused}" for outcome in refused),
        "",
        *(f"{code}  {names.get(code, ''):24}{severity:8}{n:7}" for (code, severity), n in sorted(findings.items())),
        "",
    ]
    bad = [outcome for outcome in outcomes if outcome.violations]
    lines += [f"{outcome.path}: {violation}" for outcome in bad for violation in outcome.violations]
    return "\n".join([*lines, f"{len(bad)} files in which something does not hold"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(sysconfig.get_path("purelib")), help="default: site-packages")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int, help="only so many files, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="which ones are chosen")
    options = parser.parse_args()
    paths = files_with_cuda(options.root)
    if options.limit is not None and options.limit < len(paths):
        paths = random.Random(options.seed).sample(paths, options.limit)
    size, began = sum(path.stat().st_size for path in paths), time.monotonic()
    results = sweep_all(paths, options.jobs)
    with click.progressbar(
        results, len(paths), label="Porting", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        outcomes = sorted(bar, key=lambda outcome: outcome.path)
    print(table(outcomes, size, time.monotonic() - began))
    return int(any(outcome.violations for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
