"""How fast the porter is, beside the tools it is compared with: on three trees, on two cores, in one run.

    python -m benchmarks.porter_speed [--repeats 5] [--tree FOLDER] [--on FOLDER] [--no-peers] [--write]

The trees are 700 made-up scripts full of CUDA, 700 of 1 to 4 KB that are put together of this repository's examples,
as public trees of examples have them, and a real one. The tools take turns, each on a fresh copy of the tree, and the
least time of each counts: whatever else the machine does only adds to either. (The median of the rounds' ratios would
flatter the porter where the machine is never quiet, since two processes get two shares of it.) Prints every ratio with
the bound it has to keep, and exits with 1 if one is missed.
`--no-peers` leaves out libcst.tool, which takes minutes, and pyupgrade.

The trees lie in memory where the system has a folder there (`--on FOLDER` names another place): what a port costs is
measured, and a disk may take as long again to put 700 files in the place of others, whoever does it. So that this is
seen, the small tree is ported on the disk of temporary files too, where a row says what replacing its files takes.

With nothing left to do there are two times: the first run after a port looks at every file that was written, in which
it parses most; what it finds is kept, so that later runs read nothing that is as it was.
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
from pathlib import Path
from sysconfig import get_paths
from tempfile import TemporaryDirectory, gettempdir

from benchmarks.porter_tree import make_examples, make_tree

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "porter_speed.md"

FLOOR = "floor: read each file, ast.parse it"
REPLACE = "put a copy of each file in its place, as a port that can be killed has to"
PORT = "diffsynth-port --jobs 2"
AGAIN = "diffsynth-port again: nothing left to do, each ported file looked at"
LATER = "diffsynth-port from then on: nothing left to do, and known"
CODEMOD = "libcst.tool codemod -j 2"
PYUPGRADE = "pyupgrade --py310-plus"
CLICK = "python -c 'import click'"
VERSION = "diffsynth-port --version"

#: How often the two start-ups take turns: they differ by milliseconds.
STARTS = 21

#: How often the slow peers do.
PEER_TURNS = 3

DENSE = "700 scripts"
SMALL = "700 of 1 to 4 KB"
ON_DISK = f"{SMALL}, on the disk of temporary files"
REAL = "a real tree"
START = "start-up"

#: For each tree, the most that a port may take of the floor's wall time.
MOST = {DENSE: 2.3, SMALL: 2.6, REAL: 2.6}

#: A folder in memory, on Linux.
MEMORY = Path("/dev/shm")

#: Of the installed packages, what is the real tree where none is named.
INSTALLED = ("accelerate", "diffusers/models", "diffusers/schedulers")


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


def port(folder: Path, jobs: int = 2, target: str = "npu") -> list[str]:
    return [
        sys.executable,
        "-m",
        "porter",
        str(folder),
        "--target",
        target,
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


def measure(trees: dict[str, Path], on: Path, repeats: int, peers: bool) -> dict[str, dict[str, Cost]]:
    """By tree, the least cost of each command, in seconds: whatever else the machine does only adds."""
    trees = {**trees, ON_DISK: trees[SMALL]}
    costs: dict[str, dict[str, list[Cost]]] = {name: {} for name in (*trees, START)}
    for turn in range(repeats):
        for name, tree in trees.items():
            place = Path(gettempdir()) if name == ON_DISK else on
            for command, cost in one_round(tree, place, peers and name == DENSE and turn < PEER_TURNS):
                costs[name].setdefault(command, []).append(cost)
    for command, cost in start_ups():
        costs[START].setdefault(command, []).append(cost)
    return {name: {command: least(each) for command, each in found.items()} for name, found in costs.items()}


def least(costs: list[Cost]) -> Cost:
    return Cost(min(one.wall for one in costs), min(one.cpu for one in costs))


def one_round(tree: Path, on: Path, peers: bool) -> Iterator[tuple[str, Cost]]:
    """Each command once, on a fresh copy of the tree; the later runs of the porter on what the first one left."""
    with TemporaryDirectory(prefix="porter-speed-", dir=on) as work:
        folder = fresh_copy(tree, Path(work) / "ported")
        yield FLOOR, cost_of([sys.executable, str(HERE / "peers" / "floor.py"), str(folder)])
        replaced = fresh_copy(tree, Path(work) / "replaced")
        yield REPLACE, cost_of([sys.executable, str(HERE / "peers" / "replace_files.py"), str(replaced)])
        yield PORT, cost_of(port(folder), statuses=(0, 1))  # 1: findings need a person
        yield AGAIN, cost_of(port(folder), statuses=(0, 1))
        yield LATER, cost_of(port(folder), statuses=(0, 1))
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
    list(one_round(folder, folder.parent, peers))


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


def imports_libcst(folder: Path, target: str = "npu") -> bool:
    """Whether porting a folder makes the process import libcst."""
    command = [sys.executable, "-X", "importtime", *port(folder, 1, target)[1:]]
    told = subprocess.run(command, env=environment(), capture_output=True, text=True).stderr
    return any(line.rpartition("|")[2].strip() == "libcst" for line in told.splitlines())


def libcst_where_needed_only(dense: Path, small: Path) -> bool:
    """A target without `.cuda()` of its own, where calls are put together anew, takes libcst; new names alone do not,
    nor does looking at what is ported."""
    with TemporaryDirectory(prefix="porter-speed-") as work:
        put_together, renamed = fresh_copy(dense, Path(work) / "mps"), fresh_copy(small, Path(work) / "npu")
        return imports_libcst(put_together, "mps") and not imports_libcst(renamed) and not imports_libcst(renamed)


def bounds(costs: dict[str, dict[str, Cost]]) -> list[Bound]:
    found = []
    for name, most in MOST.items():
        floor, ours = costs[name][FLOOR], costs[name][PORT]
        again, later = costs[name][AGAIN], costs[name][LATER]
        found += [
            Bound(f"{name}: a port, wall time of the floor", ours.wall / floor.wall, most),
            Bound(f"{name}: nothing left to do, looked at", again.wall / floor.wall, 1.45),
            Bound(f"{name}: nothing left to do, and known", later.wall / floor.wall, 1),
        ]
    dense, start = costs[DENSE], costs[START]
    found += [
        Bound(f"{DENSE}: a port, CPU time of the floor", dense[PORT].cpu / dense[FLOOR].cpu, 6),
        Bound("start-up, of `import click`", start[VERSION].wall / start[CLICK].wall, 1.3),
    ]
    if CODEMOD in dense:
        found += [
            Bound("times as fast as libcst.tool", dense[CODEMOD].wall / dense[PORT].wall, 15, least=True),
            Bound("times as fast as pyupgrade", dense[PYUPGRADE].wall / dense[PORT].wall, 2, least=True),
        ]
    return found


def table(costs: dict[str, dict[str, Cost]], checks: list[Bound], lazy: bool) -> str:
    lines = ["| tree | command | wall, s | CPU, s |", "|---|---|---|---|"]
    for name, found in costs.items():
        lines += [f"| {name} | {command} | {cost.wall:.3f} | {cost.cpu:.3f} |" for command, cost in found.items()]
    lines += ["", "| what | measured | asked for | |", "|---|---|---|---|"]
    lines += [check.row() for check in checks]
    lines += [f"| new names alone, or nothing left to do, import libcst | {'no' if lazy else 'yes'} | no "
              f"| {'met' if lazy else 'MISSED'} |"]  # fmt: skip
    return "\n".join(lines)


def circumstances(repeats: int, trees: dict[str, Path], on: Path) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("libcst", "pyupgrade", "click"))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return "\n".join(
        [
            *(f"- {name}: {sizes(tree)}" for name, tree in trees.items()),
            f"- {python}, {versions}; {platform.machine()}, {cores} cores; trees in {on}; "
            f"the least of {repeats} rounds, of {STARTS} for start-up",
        ]
    )


def sizes(tree: Path) -> str:
    found = [path.read_bytes() for path in tree.rglob("*.py")]
    size, named = sum(map(len, found)), sum(data.count(b"cuda") for data in found)
    bounds = f"{min(map(len, found)):,} to {max(map(len, found)):,}"
    return f'{len(found)} files, {size:,} bytes, {bounds} each; "cuda" {1000 * named / size:.1f} times in 1,000 bytes'


def make_trees(folder: Path, count: int, seed: int, real: Path | None) -> dict[str, Path]:
    trees = {DENSE: folder / "dense", SMALL: folder / "small", REAL: folder / "real"}
    make_tree(trees[DENSE], seed, count)
    make_examples(trees[SMALL], seed, count)
    packages = [real] if real is not None else [Path(get_paths()["purelib"]) / name for name in INSTALLED]
    for package in packages:
        for path in package.rglob("*.py"):
            copy = trees[REAL] / package.name / path.relative_to(package)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return trees


def keep_to_two_cores() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tree", type=Path, help="the real tree; by default of packages that are installed")
    in_memory = MEMORY if os.access(MEMORY, os.W_OK) else Path(gettempdir())
    parser.add_argument("--on", type=Path, default=in_memory, help=f"where the trees lie; by default {in_memory}")
    parser.add_argument("--count", type=int, default=700, help="how many scripts the tree holds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peers", action="store_true", help="leave out libcst.tool and pyupgrade")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {RESULTS.relative_to(HERE.parent)}")
    options = parser.parse_args()
    keep_to_two_cores()
    peers = not options.no_peers
    with TemporaryDirectory(prefix="porter-speed-", dir=options.on) as work:
        os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(work, "bytecode")
        os.environ["XDG_STATE_HOME"] = os.path.join(work, "state")  # the notes of ports, whose trees are gone soon
        os.environ["XDG_CACHE_HOME"] = os.path.join(work, "cache")
        trees = make_trees(Path(work) / "trees", options.count, options.seed, options.tree)
        warm_up(Path(work) / "warm", peers)
        costs = measure(trees, options.on, options.repeats, peers)
        lazy = libcst_where_needed_only(trees[DENSE], trees[SMALL])
        about = circumstances(options.repeats, trees, options.on)
    checks = bounds(costs)
    report = table(costs, checks, lazy)
    print(f"{about}\n\n{report}")
    if options.write:
        RESULTS.write_text(f"# Speed of the porter, {date.today()}\n\n{about}\n\n{report}\n", encoding="utf-8")
    return int(not (lazy and all(check.met for check in checks)))


if __name__ == "__main__":
    sys.exit(main())
