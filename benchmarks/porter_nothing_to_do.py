"""What a run costs that has nothing to do, beside `ruff check`: 20,000 scripts, on two cores, in one run.

    python -m benchmarks.porter_nothing_to_do [--count 20000] [--repeats 3]

The scripts name no accelerator, as most files of a repository. ruff reads them with `--select UP --no-cache`; the
porter runs without its cache, and then with what a first run left there. Prints the medians and the ratios with their
bounds, and exits with 1 if one is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.porter_speed import Bound, Cost, cost_of, keep_to_two_cores, port
from benchmarks.porter_tree import make_tree

RUFF = "ruff check --select UP --no-cache"
COLD = "diffsynth-port --no-cache"
WARM = "diffsynth-port, with what an earlier run knows"


def commands(tree: Path) -> dict[str, list[str]]:
    return {
        RUFF: [sys.executable, "-m", "ruff", "check", "--select", "UP", "--no-cache", "--quiet", str(tree)],
        COLD: [*port(tree), "--no-cache"],
        WARM: port(tree),
    }


def measure(tree: Path, repeats: int) -> dict[str, Cost]:
    costs: dict[str, list[Cost]] = {}
    for command in commands(tree).values():  # bytecode, and the porter's cache
        cost_of(command, statuses=(0, 1))
    for _ in range(repeats):
        for name, command in commands(tree).items():
            costs.setdefault(name, []).append(cost_of(command, statuses=(0, 1)))
    return {
        name: Cost(median(one.wall for one in each), median(one.cpu for one in each)) for name, each in costs.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="how many scripts the tree holds")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    keep_to_two_cores()
    with TemporaryDirectory(prefix="porter-nothing-") as work:
        os.environ["XDG_STATE_HOME"] = os.path.join(work, "state")
        os.environ["XDG_CACHE_HOME"] = os.path.join(work, "cache")
        tree = Path(work) / "tree"
        make_tree(tree, count=options.count, without_devices=100)
        costs = measure(tree, options.repeats)
    bounds = [
        Bound("without the cache, CPU time of ruff", costs[COLD].cpu / costs[RUFF].cpu, 1.5),
        Bound("with the cache, wall time of ruff", costs[WARM].wall / costs[RUFF].wall, 1),
    ]
    print(f"{options.count} scripts, medians of {options.repeats}\n\n| command | wall, s | CPU, s |\n|---|---|---|")
    print("\n".join(f"| {name} | {cost.wall:.3f} | {cost.cpu:.3f} |" for name, cost in costs.items()))
    print("\n| what | measured | asked for | |\n|---|---|---|---|")
    print("\n".join(bound.row() for bound in bounds))
    return int(not all(bound.met for bound in bounds))


if __name__ == "__main__":
    sys.exit(main())
