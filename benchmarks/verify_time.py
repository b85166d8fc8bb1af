"""`diffsynth-port verify examples` beside the build of before scripts shared processes and processors.

    python benchmarks/verify_time.py ANOTHER_CHECKOUT [PATHS...]

Runs both in turn, twice each, and prints wall and processor seconds, the ratio of the least of each, and whether the
verdicts are the same. ANOTHER_CHECKOUT is a folder with the other build, PATHS are examples (default: all of them).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
TURNS = 2


def timed(checkout: Path, paths: list[str], report: Path) -> tuple[float, float]:
    """Wall and processor seconds of one run, whose JSON report is written."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "porter", "verify", *paths, "--report", str(report)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=checkout, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def verdicts(report: Path) -> dict[str, str]:
    told: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return {
        f"{script['path']} {script['processes'] or ''}".strip(): "passed"
        if script["passed"]
        else "skipped"
        if script["skipped"]
        else "failed"
        for script in told["scripts"]
    }


def main() -> int:
    if len(sys.argv) < 2 or not Path(sys.argv[1], "porter").is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    builds = {"before": Path(sys.argv[1]).resolve(), "now": HERE}
    paths = sys.argv[2:] or ["examples"]
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in builds}
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(TURNS):
            for name, checkout in builds.items():
                report = Path(folder, f"{name}.json")
                seconds[name].append(timed(checkout, paths, report))
                found[name] = verdicts(report)
                wall, used = seconds[name][-1]
                print(f"{name:<6} {wall:7.1f} s wall {used:7.1f} s of processors", flush=True)
    before, now = (min(wall for wall, _ in seconds[name]) for name in builds)
    print(f"wall, now to before: {now / before:.2f}")
    other = {name for name, verdict in found["before"].items() if found["now"].get(name) != verdict}
    print(f"{len(found['now'])} rows; verdicts the same: {'no: ' + ', '.join(sorted(other)) if other else 'yes'}")
    return int(bool(other))


if __name__ == "__main__":
    sys.exit(main())
