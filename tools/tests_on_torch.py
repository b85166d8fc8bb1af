"""Run the tests of the emulated NPU, of the redirect, and one of verify, on another version of torch.

    python tools/tests_on_torch.py 2.7.1                 as `make test-torch TORCH=2.7.1` does
    python tools/tests_on_torch.py 2.7.1 -- -x -k hccl   what follows the dashes goes to pytest

The version gets a virtual environment, build/torch-VERSION, with the packages of the `dev` extra. TORCH_VENV names one
to take instead; where torch is in it, that torch is kept. PyPI's torch brings CUDA's libraries for Linux on x86-64,
several GB: an environment made with another index (the CPU builds, say) and named so does as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What is run, and in which way: each in a process of its own, as the first two need the emulated NPU in theirs.
PARTS = {
    "emulator": ["tests/npu_emulator"],
    "redirect": ["tests/npu_compat"],
    "verify": [
        "tests/porter/verify/test_examples_proved.py::test_a_script_that_is_ported_already_passes_and_is_not_changed"
    ],
}


def main(arguments: list[str]) -> int:
    """Returns 0 where all tests pass, 1 where some fail, 2 on bad usage."""
    own, options = _split(arguments)
    if len(own) != 1:
        print("usage: make test-torch TORCH=2.7.1", file=sys.stderr)
        return 2
    (version,) = own
    folder = Path(os.environ.get("TORCH_VENV") or ROOT / "build" / f"torch-{version}").absolute()
    python = _environment(folder, version)
    counts = {part: _run(python, part, folder.name, options) for part in PARTS}
    _print_table(_torch_in(python), counts)
    return 1 if any(count["failed"] for count in counts.values()) else 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _environment(folder: Path, version: str) -> Path:
    """Python of an environment that holds that torch and all that the tests want; made or completed."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    found = _torch_in(python)
    if found.partition("+")[0] != version:
        if found and "TORCH_VENV" in os.environ:
            sys.exit(f"TORCH_VENV={folder} holds torch {found}, not {version}: name another environment")
        _pip(python, f"torch=={version}")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write(_pins(_torch_in(python)))
        pins.flush()
        _pip(python, "--editable", f"{ROOT}[dev]", "--constraint", pins.name)
    return python


def _pins(torch: str) -> str:
    others = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("torch==")]
    return "\n".join([*others, f"torch=={torch}", ""])


def _torch_in(python: Path) -> str:
    asked = "import importlib.metadata as m; print(next((d.version for d in m.distributions(name='torch')), ''))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def _pip(python: Path, *arguments: str) -> None:
    print(f"{python} -m pip install {' '.join(arguments)}", flush=True)
    result = subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=False)
    if result.returncode != 0:
        sys.exit(result.returncode)


def _run(python: Path, part: str, name: str, options: list[str]) -> dict[str, int]:
    report = ROOT / "build" / f"{name}.{part}.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    print(f"-- {part}", flush=True)
    command = [python, "-m", "pytest", *PARTS[part], f"--junitxml={report}", "-q", *options]
    subprocess.run(command, cwd=ROOT, check=False)
    return _counts(report)


def _counts(report: Path) -> dict[str, int]:
    counts = {"passed": 0, "skipped": 0, "failed": 0}
    if not report.exists():  # pytest did not come to its end
        return {**counts, "failed": 1}
    for suite in ElementTree.parse(report).iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        counts["failed"] += failed
        counts["skipped"] += skipped
        counts["passed"] += int(suite.get("tests", 0)) - failed - skipped
    return counts


def _print_table(torch: str, counts: dict[str, dict[str, int]]) -> None:
    print(f"\ntorch {torch:<12} passed  skipped  failed")
    for part, count in counts.items():
        print(f"  {part:<16} {count['passed']:>6}  {count['skipped']:>7}  {count['failed']:>6}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
