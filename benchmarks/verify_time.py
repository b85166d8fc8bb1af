"""`diffsynth-port verify examples` beside another build, over the examples that both have.

    python benchmarks/verify_time.py ANOTHER_CHECKOUT [PATHS...]

Runs both in turn, twice each, and prints wall and processor seconds, the ratios of the least of each, whether the
verdicts are the same, and which operators and networks a row ran on a device in one build alone, where both tell.
ANOTHER_CHECKOUT is a folder with the other build, PATHS are examples (default: all of them). Each build runs its own
form of an example.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
TURNS = 2


def common_examples(checkout: Path, other: Path, folder: Path) -> Path:
    """The examples of a checkout that the other one has too, in a folder of their own."""
    for path in (checkout / "examples").rglob("*"):
        relative = path.relative_to(checkout)
        if path.is_file() and (other / relative).is_file():
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / relative)
    return folder


def timed(checkout: Path, examples: Path, paths: list[str], report: Path) -> tuple[float, float]:
    """Wall and processor seconds of one run, whose JSON report is written."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "porter", "verify", *paths, "--report", str(report)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=examples, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def rows(report: Path) -> dict[str, dict[str, Any]]:
    told: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return {f"{script['path']} {script['processes'] or ''}".strip(): script for script in told["scripts"]}


def verdict(row: dict[str, Any] | None) -> str:
    return "missing" if row is None else "passed" if row["passed"] else "skipped" if row["skipped"] else "failed"


def operators(row: dict[str, Any] | None) -> set[tuple[str, str, str]]:
    """The way, the device and the name of each operator that ran, and of each network that computed something there.

    None of a build that does not tell.
    """
    outcomes = {} if row is None else row["outcomes"]
    return {
        (way, device, name)
        for way, outcome in outcomes.items()
        if "operators" in outcome
        for device, names in _by_device(outcome)
        for name in names
    }


def _by_device(outcome: dict[str, Any]) -> Iterator[tuple[str, Iterable[str]]]:
    yield from outcome["operators"].items()
    for name, network in outcome["networks"].items():
        yield from ((device, [name]) for device in network["computed"])


def main() -> int:
    if len(sys.argv) < 2 or not Path(sys.argv[1], "porter").is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    builds = {"before": Path(sys.argv[1]).resolve(), "now": HERE}
    paths = sys.argv[2:] or ["examples"]
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in builds}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        before, now = builds["before"], builds["now"]
        examples = {
            "before": common_examples(before, now, folder / "before"),
            "now": common_examples(now, before, folder / "now"),
        }
        for _ in range(TURNS):
            for name, checkout in builds.items():
                report = folder / f"{name}.json"
                seconds[name].append(timed(checkout, examples[name], paths, report))
                found[name] = rows(report)
                wall, used = seconds[name][-1]
                print(f"{name:<6} {wall:7.1f} s wall {used:7.1f} s of processors", flush=True)
    return _told(seconds, found)


def _told(seconds: dict[str, list[tuple[float, float]]], found: dict[str, dict[str, dict[str, Any]]]) -> int:
    for number, kind in enumerate(("wall", "processors")):
        least = {name: min(one[number] for one in told) for name, told in seconds.items()}
        print(f"{kind}, now to before: {least['now'] / least['before']:.2f}")
    both = {
        name: [found[build].get(name) for build in ("before", "now")] for name in {**found["before"], **found["now"]}
    }
    other = sorted(name for name, (before, now) in both.items() if verdict(before) != verdict(now))
    counts = Counter(verdict(row) for row in found["now"].values())
    print(f"{dict(counts)}; verdicts the same: {'no: ' + ', '.join(other) if other else 'yes'}")
    for name, (before, now) in both.items():
        one, two = operators(before), operators(now)
        for told, alone in (("no longer runs", one - two), ("runs besides", two - one)):
            if one and two and alone:
                print(f"{name}: {told} {', '.join(' '.join(operator) for operator in sorted(alone))}")
    return int(bool(other))


if __name__ == "__main__":
    sys.exit(main())
