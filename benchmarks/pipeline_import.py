"""What importing a pipeline costs, beside importing torch alone.

    python -m benchmarks.pipeline_import [--runs 7]

Processor time of fresh processes, in alternating runs; prints the median of each and the ratios beside their bound,
and ends with 1 if one is above it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BOUND = 1.25
PIPELINES = ("diffsynth.pipelines.wan_video", "diffsynth.pipelines.qwen_image")
PROGRAM = "import sys, time; import {module}; print(time.process_time())"


def seconds(module: str) -> float:
    """Processor time of a process that imports `module` and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NPU_")}
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> int:
    """Prints the table; 1 if a ratio is above the bound."""
    parser = argparse.ArgumentParser(description="What importing a pipeline costs, beside torch alone.")
    parser.add_argument("--runs", type=int, default=7, help="runs of each, alternating (default 7)")
    runs = parser.parse_args().runs
    modules = ("torch", *PIPELINES)
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(runs):
        for module in modules:
            times[module].append(seconds(module))
    medians = {module: statistics.median(values) for module, values in times.items()}
    for module, median in medians.items():
        print(f"{'import ' + module:44}{median:8.3f} s")
    missed = 0
    for pipeline in PIPELINES:
        ratio = medians[pipeline] / medians["torch"]
        missed += ratio > BOUND
        print(f"{pipeline}: ratio {ratio:.2f}, at most {BOUND}: {'met' if ratio <= BOUND else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
