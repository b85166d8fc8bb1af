"""One table of a device: what the pipelines take there, beside diffusers and DiffSynth-Studio in the same run.

    python -m benchmarks.device --device cuda --full
    python -m benchmarks.device --device cpu

`--full` has the published sizes (Wan2.1-T2V-1.3B at 832x480 and 81 frames, and as large the DiTs that see pictures,
have a timestep for each frame or are guided by VACE; Qwen-Image at 1328x1328, Z-Image at 1024x1024; bf16) and takes
under five minutes on a fast card, and 20 GB of disk for weights that it makes up; without it, everything is small and
float32, which shows that it runs, and no bound is held. Each part has a process of its own and shows what it found when
it ends; at the end stands the whole as a Markdown table. A ratio is ours over the peer's, the median of rounds in which
both take turns. DiffSynth-Studio takes part where it is installed: its package has our name, so it is one of `--studio
FOLDER` (as of `pip install --target FOLDER diffsynth`) or what pip installed beside a checkout of this repository. It
knows the published sizes alone. Ends with 1 if a ratio is above its bound or a part failed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("low_vram.py")
# Bounds of the low-VRAM script beside DiffSynth-Studio: seconds of the call, peaks of host and device memory.
LOW_VRAM_BOUNDS = {"call": 0.8, "host": 0.8, "device": 1.0}
UNITS = {"call": "s", "host": "GiB", "device": "GiB"}
PART_SECONDS = 240


class Row(NamedTuple):
    """A line of the table. `ours` and `other` are in `unit`; None is not measured."""

    what: str
    ours: float | None
    other: float | None
    peer: str
    unit: str
    ratio: float | None
    bound: float | None

    @property
    def missed(self) -> bool:
        return self.ratio is not None and self.bound is not None and self.ratio > self.bound


def main() -> int:
    """Prints the table; 1 if a ratio is above its bound or a part failed."""
    options = _options()
    started = time.perf_counter()
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for part, found in measured(options, Path(folder)):
            if isinstance(found, str):
                failed.append(f"{part}: {found}")
                print(f"{part} failed: {found}", flush=True)
                continue
            found = found if options.full else [row._replace(bound=None) for row in found]
            rows += found
            for row in found:
                print(" | ".join(cells(row)), flush=True)
    print(f"\n{title(options)}, {time.perf_counter() - started:.0f} s\n")
    print(table(rows))
    for one in failed:
        print(f"\nFailed: {one}")
    return 1 if failed or any(row.missed for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.device", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or npu (default: cpu)")
    parser.add_argument("--full", action="store_true", help="the published sizes, in bf16")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default: 3)")
    parser.add_argument("--studio", type=Path, help="folder that holds DiffSynth-Studio's package `diffsynth`")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: expected at least 1")
    if options.studio is not None and not (options.studio / "diffsynth" / "__init__.py").is_file():
        parser.error(f"--studio {options.studio}: there is no diffsynth/__init__.py in it")
    if options.studio is None:
        options.studio = installed_studio()
    return options


def installed_studio() -> Path | None:
    """The folder in which pip installed a `diffsynth` that is not ours."""
    try:
        package = Path(str(importlib.metadata.distribution("diffsynth").locate_file("diffsynth"))).resolve()
    except importlib.metadata.PackageNotFoundError:
        return None
    return package.parent if package != ROOT / "diffsynth" and package.is_dir() else None


def measured(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Row] | str]]:
    """Part by part, its rows, or what went wrong."""
    for part in ("dit", "kinds", "qwen", "z-image", "vae"):
        arguments = ["-m", "benchmarks.device.networks", part, *_common(options), "--rounds", str(options.rounds)]
        printed, error = _child(arguments, ROOT)
        yield part, error or [Row(*row) for row in json.loads(printed)]
    arguments = ["-m", "benchmarks.device.weights", str(folder), *_common(options)]
    _, error = _child(arguments, ROOT)
    if error:
        yield "making weights", error
        return
    limits = [None, 8.0] if options.device != "cpu" else [None]
    for limit in limits:
        part = "low-VRAM script" + ("" if limit is None else f", vram_limit={limit:g}")
        yield part, low_vram(options, folder, part, limit)


def low_vram(options: argparse.Namespace, folder: Path, part: str, limit: float | None) -> list[Row] | str:
    """The script's rows, beside DiffSynth-Studio's where that takes part."""
    arguments = [str(SCRIPT), str(folder), *_common(options), *([] if limit is None else ["--limit", str(limit)])]
    printed, error = _child(arguments, ROOT)
    if error:
        return error
    ours = json.loads(printed)
    studio: dict[str, float | None] = {}
    if options.studio is not None and options.full:
        printed, error = _child(arguments, options.studio)
        if error:
            return f"DiffSynth-Studio: {error}"
        studio = json.loads(printed)
    rows = []
    for name, bound in LOW_VRAM_BOUNDS.items():
        other = studio.get(name)
        ratio = ours[name] / other if other and ours[name] is not None else None
        rows.append(Row(f"{part}: {name}", ours[name], other, "DiffSynth-Studio", UNITS[name], ratio, bound))
    if ours["locked"] is not None:
        rows.append(Row(f"{part}: page-locked at the peak", ours["locked"], None, "", "GiB", None, None))
        rows.append(Row(f"{part}: page-locked pieces", ours["pieces"], None, "", "", None, None))
    return rows


def _common(options: argparse.Namespace) -> list[str]:
    return ["--device", options.device, *(["--full"] if options.full else [])]


def _child(arguments: list[str], package: Path) -> tuple[str, str]:
    """The last line that a process prints, and what went wrong. `package` is where it finds diffsynth."""
    environment = {**os.environ, "PYTHONPATH": str(package), "DIFFSYNTH_SKIP_DOWNLOAD": "true"}
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(
            command, env=environment, cwd=tempfile.gettempdir(), capture_output=True, text=True,
            timeout=PART_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "", f"took more than {PART_SECONDS} s"
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    return (done.stdout.strip().splitlines() or [""])[-1], ""


def title(options: argparse.Namespace) -> str:
    """What was measured, and where."""
    import torch

    name = options.device
    if options.device != "cpu":
        name = torch.get_device_module(options.device).get_device_name()
    sizes = "published sizes, bf16" if options.full else "small sizes, fp32"
    return f"{name}, {sizes}, torch {torch.__version__}, median of {options.rounds}"


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    head = ("", "ours", "peer", "", "ratio", "bound", "")
    lines = [head, ("---",) * len(head), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row) -> tuple[str, ...]:
    """One row's cells as text."""

    def number(value: float | None, unit: str = "") -> str:
        return "-" if value is None else f"{value:.4g} {unit}".strip()

    verdict = "" if row.ratio is None or row.bound is None else ("MISSED" if row.missed else "met")
    return (
        row.what,
        number(row.ours, row.unit),
        number(row.other, row.unit),
        row.peer,
        "-" if row.ratio is None else f"{row.ratio:.3f}",
        number(row.bound),
        verdict,
    )


if __name__ == "__main__":
    sys.exit(main())
