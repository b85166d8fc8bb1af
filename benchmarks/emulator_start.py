"""Time to the first tensor on the emulated NPU: with the prebuilt backend of a wheel, beside compiling it first.

    python -m benchmarks.emulator_start dist/diffsynth_port-*.whl [--repeats 3] [--write]

The wheel is installed in a fresh environment that sees this one's torch. Both ways run from there in turns, each in a
new process with an empty cache: the prebuilt one without anything on PATH, the other as a machine with g++ and the pure
wheel. Times are medians, of the whole process; ends with 1 if the ratio is above its bound.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import sysconfig
import time
import venv
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "emulator_start.md"
BOUND = 0.1
PREBUILT = "prebuilt, no compiler on PATH"
COMPILED = "compiled on first use"
IMPORT = "import torch alone"
PROGRAM = """
import torch
assert torch.ones(2, device="npu").sum().item() == 2
assert ("/npu_emulator/prebuilt/torch-" in open("/proc/self/maps").read()) == {prebuilt}
"""


def install(wheel: Path, folder: Path) -> Path:
    """The Python of a new environment with the wheel in it."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    site_packages = next(folder.glob("lib/python*/site-packages"))
    libraries = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (site_packages / "libraries.pth").write_text("\n".join(sorted(libraries)))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    return python


def seconds(python: Path, program: str, **changes: str) -> float:
    """Wall time of a process with an empty cache of backends."""
    with TemporaryDirectory() as cache:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPU_", "PYTHON", "CXX"))}
        environment = {**kept, "NPU_EMULATOR_CACHE": cache, **changes}
        started = time.perf_counter()
        subprocess.run([str(python), "-c", program], env=environment, cwd=cache, capture_output=True, check=True)
        return time.perf_counter() - started


def measure(python: Path, repeats: int) -> dict[str, float]:
    """Medians by way, which take turns."""
    ways = {
        IMPORT: ("import torch", {}),
        PREBUILT: (PROGRAM.format(prebuilt=True), {"NPU_EMULATOR": "1", "PATH": "/nonexistent"}),
        COMPILED: (PROGRAM.format(prebuilt=False), {"NPU_EMULATOR": "1", "NPU_EMULATOR_PREBUILT": "0"}),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, (program, changes) in ways.items():
            times[way].append(seconds(python, program, **changes))
    return {way: median(measured) for way, measured in times.items()}


def report(times: dict[str, float]) -> tuple[str, bool]:
    """The tables, and whether the bound is kept."""
    ratio = times[PREBUILT] / times[COMPILED]
    added = (times[PREBUILT] - times[IMPORT]) / (times[COMPILED] - times[IMPORT])
    kept = ratio <= BOUND
    lines = ["| process | wall, s |", "|---|---|"]
    lines += [f"| {way} | {measured:.3f} |" for way, measured in times.items()]
    lines += ["", "| what | measured | asked for | |", "|---|---|---|---|"]
    lines += [
        f"| prebuilt, of the time with compiling | {ratio:.3f} | at most {BOUND} | {'met' if kept else 'MISSED'} |"
    ]
    lines += [f"| the same without importing torch | {added:.3f} | | |"]
    return "\n".join(lines), kept


def main() -> int:
    """Prints the tables; 1 if the ratio is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="a wheel that tools/build_backends.py made")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turns (default 3)")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {RESULTS.relative_to(HERE.parent)}")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        times = measure(install(options.wheel.resolve(), Path(folder)), options.repeats)
    tables, kept = report(times)
    gxx = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    about = (
        f"{options.wheel.name}\nCPython {platform.python_version()}, torch {version('torch')}, g++ {gxx}; "
        f"{platform.machine()}, {os.cpu_count()} cores; medians of {options.repeats}"
    )
    print(f"{about}\n\n{tables}")
    if options.write:
        title = "Time to the first tensor on the emulated NPU"
        RESULTS.write_text(f"# {title}, {date.today()}\n\n{about}\n\n{tables}\n", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
