"""How fast the porter is, beside the tools it is compared with: all on one tree, on two cores, in one run.

    python -m benchmarks.porter_speed [--repeats 3] [--no-peers] [--write]

The tools take turns, each on a fresh copy of the tree; times are medians. Prints every ratio with the bound it has to
keep, and exits with 1 if one is missed. `--no-peers` leaves out libcst.tool, which takes minutes, and pyupgrade.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.porter_tree import make_tree, statistics

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "porter_speed.md"

FLOOR = "floor: read each file, ast.parse it"
PORT = "diffsynth-port --jobs 2"
AGAIN = "diffsynth-port, nothing left to do"
CODEMOD = "libcst.tool codemod -j 2"
PYUPGRADE = "pyupgrade --py310-plus"
CLICK = "python -c 'import click'"
VERSION = "diffsynth-port --version"

#: How often the two start-ups take turns: they differ by milliseconds.
STARTS = 21


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of all cores together."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Bound:
    """A ratio of two costs. `least` says that it must not be smaller than `limit`, rather than not larger."""

    what: str
    ratio: float
    limit: float
    least: bool = False

    @property
    def met(self) -> bool:
        return self.ratio >= self.limit if self.least else self.ratio <= self.limit

    def row(self) -> str:
        asked = f"{'at least' if self.least else 'at most'} {self.limit:g}"
        return f"| {self.what} | {self.ratio:.2f} | {asked} | {'met' if self.met else 'MISSED'} |"


def port(folder: Path, jobs: int = 2) -> list[str]:
    return [
        sys.executable,
        "-m",
        "porter",
        str(folder),
        "--target",
        "npu",
        "--jobs",
        str(jobs),
        "--quiet",
        "--no-config",
    ]


def codemod(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "libcst.tool", "codemod", "-x", "replace_cuda.ReplaceCuda", str(folder)]
    return [*command, "-j", "2", "--no-format", "--hide-progress"]


def pyupgrade(folder: Path) -> list[str]:
    return [sys.executable, "-m", "pyupgrade", "--py310-plus", *map(str, sorted(folder.rglob("*.py")))]


def measure(tree: Path, repeats: int, peers: bool) -> dict[str, Cost]:
    """The median cost of each command, in seconds."""
    costs: dict[str, list[Cost]] = {}
    for name, cost in chain(*(one_round(tree, peers) for _ in range(repeats)), start_ups()):
        costs.setdefault(name, []).append(cost)
    return {
        name: Cost(median(one.wall for one in each), median(one.cpu for one in each)) for name, each in costs.items()
    }


def one_round(tree: Path, peers: bool) -> Iterator[tuple[str, Cost]]:
    """Each command once, on a fresh copy of the tree; the second run of the porter on what the first one left."""
    with TemporaryDirectory(prefix="porter-speed-") as work:
        folder = fresh_copy(tree, Path(work) / "ported")
        yield FLOOR, cost_of([sys.executable, str(HERE / "peers" / "floor.py"), str(folder)])
        yield PORT, cost_of(port(folder), statuses=(0, 1))  # 1: findings need a person
        yield AGAIN, cost_of(port(folder), statuses=(0, 1))
        if peers:
            yield PYUPGRADE, cost_of(pyupgrade(fresh_copy(tree, Path(work) / "upgraded")), statuses=(0, 1))
            yield CODEMOD, cost_of(codemod(fresh_copy(tree, Path(work) / "codemod")))


def start_ups() -> Iterator[tuple[str, Cost]]:
    for _ in range(STARTS):
        yield CLICK, cost_of([sys.executable, "-c", "import click"])
        yield VERSION, cost_of([sys.executable, "-m", "porter", "--version"])


def warm_up(folder: Path, peers: bool) -> None:
    """Every command once, so that all find their bytecode, as what pip has installed does."""
    make_tree(folder, count=60)
    list(one_round(folder, peers))


def fresh_copy(tree: Path, folder: Path) -> Path:
    shutil.copytree(tree, folder)
    os.sync()
    return folder


def cost_of(command: list[str], statuses: Sequence[int] = (0,)) -> Cost:
    """Raises SystemExit if the command ends with another status than one of these."""
    if sys.stderr.isatty():
        print("...", " ".join(command)[:100], file=sys.stderr)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in statuses:
        sys.exit(f"{' '.join(command)[:200]} ended with status {done.returncode}\n{done.stdout}{done.stderr}")
    return Cost(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def environment() -> dict[str, str]:
    """For the child processes: this checkout's porter, the peers' modules, and bytecode that is kept."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE / "peers")])}


def imports_libcst(folder: Path) -> bool:
    """Whether porting a folder makes the process import libcst."""
    command = [sys.executable, "-X", "importtime", *port(folder, jobs=1)[1:]]
    told = subprocess.run(command, env=environment(), capture_output=True, text=True).stderr
    return any(line.rpartition("|")[2].strip() == "libcst" for line in told.splitlines())


def libcst_where_needed_only(tree: Path) -> bool:
    """Porting scripts imports libcst, and looking at them once more does not."""
    with TemporaryDirectory(prefix="porter-speed-") as work:
        folder = fresh_copy(tree, Path(work) / "tree")
        return imports_libcst(folder) and not imports_libcst(folder)


def bounds(costs: dict[str, Cost]) -> list[Bound]:
    floor, ours, again = costs[FLOOR], costs[PORT], costs[AGAIN]
    found = [
        Bound("diffsynth-port, wall time of the floor", ours.wall / floor.wall, 2.3),
        Bound("diffsynth-port, CPU time of the floor", ours.cpu / floor.cpu, 6),
        Bound("nothing left to do, wall time of the floor", again.wall / floor.wall, 1),
        Bound("start-up, of `import click`", costs[VERSION].wall / costs[CLICK].wall, 1.3),
    ]
    if CODEMOD in costs:
        found += [
            Bound("times as fast as libcst.tool", costs[CODEMOD].wall / ours.wall, 15, least=True),
            Bound("times as fast as pyupgrade", costs[PYUPGRADE].wall / ours.wall, 2, least=True),
        ]
    return found


def table(costs: dict[str, Cost], checks: list[Bound], lazy: bool) -> str:
    lines = ["| command | wall, s | CPU, s |", "|---|---|---|"]
    lines += [f"| {name} | {cost.wall:.3f} | {cost.cpu:.3f} |" for name, cost in costs.items()]
    lines += ["", "| what | measured | asked for | |", "|---|---|---|---|"]
    lines += [check.row() for check in checks]
    lines += [f"| a run with nothing left to do imports libcst | {'no' if lazy else 'yes'} | no "
              f"| {'met' if lazy else 'MISSED'} |"]  # fmt: skip
    return "\n".join(lines)


def circumstances(repeats: int, tree: str) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("libcst", "pyupgrade", "click"))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{tree}\n{python}, {versions}; {platform.machine()}, {cores} cores; medians of {repeats}, start-up of {STARTS}"
    )


def keep_to_two_cores() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--count", type=int, default=700, help="how many scripts the tree holds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peers", action="store_true", help="leave out libcst.tool and pyupgrade")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {RESULTS.relative_to(HERE.parent)}")
    options = parser.parse_args()
    keep_to_two_cores()
    peers = not options.no_peers
    with TemporaryDirectory(prefix="porter-speed-") as work:
        os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(work, "bytecode")
        os.environ["XDG_STATE_HOME"] = os.path.join(work, "state")  # the notes of ports, whose trees are gone soon
        tree = Path(work) / "tree"
        described = str(statistics(make_tree(tree, options.seed, options.count))).split("\n")[:2]
        warm_up(Path(work) / "warm", peers)
        costs = measure(tree, options.repeats, peers)
        lazy = libcst_where_needed_only(tree)
    checks = bounds(costs)
    about = circumstances(options.repeats, "; ".join(described))
    report = table(costs, checks, lazy)
    print(f"{about}\n\n{report}")
    if options.write:
        RESULTS.write_text(f"# Speed of the porter, {date.today()}\n\n{about}\n\n{report}\n", encoding="utf-8")
    return int(not (lazy and all(check.met for check in checks)))


if __name__ == "__main__":
    sys.exit(main())
