"""Port copies of public packages, undo them, and account for every line that names CUDA, NCCL or NVIDIA.

    python -m benchmarks.porter_accounts [PACKAGE | ARCHIVE | FOLDER ...] [--cache FOLDER] [--target npu] [--write]

Each is a package of the index (its sdist, or else its wheel), an archive of one, or a folder. A copy is ported, ported
again, compiled and undone by the command itself, by its record and, where it names no other accelerator, without one.
It fails if

- a line that names CUDA is neither changed, nor found, nor passed over for a reason, nor in a file counted as not
  looked at (the lines are found here by a search of its own);
- the second port changes something, or a `.py` that compiled does not compile any more;
- what is undone is not, byte for byte, what was there before;
- something raises an exception.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "porter_accounts.md"

#: Those of the first line know several accelerators, but for sam2; the others CUDA alone.
PACKAGES = [
    *"accelerate diffusers lightning mmengine open_clip_torch sam2 timm transformers ultralytics".split(),
    *"basicsr clip-anytorch denoising-diffusion-pytorch facexlib fairseq2 gfpgan imagen-pytorch".split(),
    *"pyro-ppl pytorch-metric-learning realesrgan torch-fidelity".split(),
]

_NAMES_CUDA = re.compile(rb"cuda|nccl|nvidia", re.IGNORECASE)
_OTHERS = re.compile(rb"(?<![a-z])(?:npu|hccl|xpu|mps|musa)(?![a-z])", re.IGNORECASE)  # `is_npu`, not `input`

#: What the command never looks into, and neither does the search here.
_NEVER = frozenset(".git .hg .venv venv __pycache__ node_modules site-packages .ipynb_checkpoints".split())


@dataclass
class Outcome:
    """What came of one package."""

    name: str
    files: int = 0
    lines: int = 0
    changed: int = 0
    found: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    not_looked_at: int = 0
    not_looked_at_lines: int = 0
    round_trips: dict[str, str] = field(default_factory=dict)
    unaccounted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=PACKAGES)
    parser.add_argument("--cache", type=Path, help="where archives are kept; by default a temporary folder")
    parser.add_argument("--target", default="npu")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results")
    options = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.packages:
            source = _source(name, options.cache or Path(folder) / "archives")
            original = _unpacked(source, Path(folder) / "original")
            outcomes.append(account_for(source.name, original, Path(folder) / "work", options.target))
            print(_row(outcomes[-1]), flush=True)
    text = table(outcomes)
    print(text)
    if options.write:
        RESULTS.write_text(f"{_heading(options.target)}\n\n{text}\n", encoding="utf-8")
    return int(any(outcome.unaccounted or outcome.wrong for outcome in outcomes))


def _heading(target: str) -> str:
    how = "sdists, or wheels where pip cannot prepare the sdist"
    return f"# Public packages, ported and undone\n\nTo {target}, on {date.today()}: {how}."


def account_for(name: str, original: Path, work: Path, target: str) -> Outcome:
    """Port, port again, compile and undo a copy of a tree."""
    outcome = Outcome(name)
    try:
        _go_through(original, work, target, outcome)
    except Exception as error:
        outcome.wrong.append(f"{type(error).__name__}: {error}")
    return outcome


def _go_through(original: Path, work: Path, target: str, outcome: Outcome) -> None:
    copy = _fresh(original, work)
    report = _run(copy, work, "--target", target, "--explain-skipped", "--format", "json")
    _count(report, original, outcome)
    outcome.wrong += _compared(copy, _twin(copy, work, target), "the second port changes")
    outcome.wrong += _not_compiled(original, copy)
    outcome.round_trips["record"] = _undone(original, copy, work, target, outcome)
    if not _names_another(original):
        copy = _fresh(original, work)
        _run(copy, work, "--target", target, "--no-record", "--quiet")
        outcome.round_trips["no record"] = _undone(original, copy, work, target, outcome, "--no-record")


def _count(report: dict[str, Any], original: Path, outcome: Outcome) -> None:
    """The command's own account, beside the lines that a search finds."""
    told: dict[str, set[int]] = {}
    for file in report["files"]:
        outcome.files += 1
        account, failure = file.get("account"), file["failure"]
        if failure is not None and "please report this" in failure["message"]:
            outcome.wrong.append(f"{file['path']}: {failure['message']}")
        if account is None:
            continue
        outcome.changed += len(account["changed"])
        outcome.found += len(account["found"])
        outcome.passed_over.update(one["reason"] for one in account["passed_over"])
        outcome.unaccounted += [f"{file['path']}:{one['line']}" for one in account["left"]]
        places = [one for key in ("changed", "found", "passed_over", "left") for one in account[key]]
        told[os.path.normpath(file["path"])] = {one["line"] for one in places}
    others = set(map(os.path.normpath, report["not_looked_at"]))
    outcome.not_looked_at = len(others)
    for path, lines in _lines_that_name(original):
        outcome.lines += len(lines)
        if path in others:
            outcome.not_looked_at_lines += len(lines)
        elif path not in told:
            outcome.unaccounted += [f"{path}:{line} (in no account)" for line in lines]
        elif not path.endswith(".ipynb"):  # whose lines are counted by the cell
            outcome.unaccounted += [f"{path}:{line} (not in its account)" for line in lines if line not in told[path]]


def _lines_that_name(top: Path) -> Iterator[tuple[str, list[int]]]:
    """Each text file below a folder that names CUDA, with its lines."""
    for path in sorted(top.rglob("*")):
        inside = path.relative_to(top)
        if not path.is_file() or path.is_symlink() or not _NEVER.isdisjoint(inside.parts):
            continue
        data = path.read_bytes()
        if b"\0" in data[:8192] or _NAMES_CUDA.search(data) is None:
            continue
        yield str(inside), [at for at, line in enumerate(data.splitlines(), 1) if _NAMES_CUDA.search(line)]


def _fresh(original: Path, work: Path) -> Path:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(original, work / "tree", symlinks=True)
    return work / "tree"


def _twin(copy: Path, work: Path, target: str) -> Path:
    """A copy of the ported tree, ported once more."""
    shutil.copytree(copy, work / "again", symlinks=True)
    _run(work / "again", work, "--target", target, "--no-record", "--quiet")
    return work / "again"


def _undone(original: Path, copy: Path, work: Path, target: str, outcome: Outcome, *options: str) -> str:
    _run(copy, work, "--target", "cuda", "--from", target, "--quiet", *options)
    different = list(_compared(original, copy, "undoing leaves a difference in"))
    outcome.wrong += different
    return f"{len(different)} differ" if different else "same bytes"


def _run(tree: Path, work: Path, *options: str) -> dict[str, Any]:
    """`diffsynth-port . ...` in a tree; with --format json, its report."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(work / "state")}
    command = [sys.executable, "-m", "porter", ".", "--no-config", "--exit-zero", *options]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False)
    if done.returncode or b"Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
    return json.loads(done.stdout) if "json" in options else {}


def _compared(one: Path, other: Path, what: str) -> Iterator[str]:
    for path in sorted(one.rglob("*")):
        if path.is_file() and not path.is_symlink():
            inside = path.relative_to(one)
            if not filecmp.cmp(path, other / inside, shallow=False):
                yield f"{what} {inside}"


def _not_compiled(original: Path, ported: Path) -> Iterator[str]:
    for path in sorted(ported.rglob("*.py")):
        before = original / path.relative_to(ported)
        if path.is_file() and not _compiles(path) and _compiles(before):
            yield f"{path.relative_to(ported)} does not compile any more"


def _compiles(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return True


def _names_another(top: Path) -> bool:
    """Whether a text file below a folder names an accelerator besides CUDA."""
    contents = (path.read_bytes() for path in top.rglob("*") if path.is_file() and not path.is_symlink())
    return any(b"\0" not in data and _OTHERS.search(data) for data in contents)


def _source(name: str, cache: Path) -> Path:
    """A folder, an archive, or that of a package."""
    return Path(name) if os.path.exists(name) else _downloaded(name, cache)


def _unpacked(archive: Path, into: Path) -> Path:
    """The tree of an archive or a folder, in a folder of its own."""
    shutil.rmtree(into, ignore_errors=True)
    if archive.is_dir():
        shutil.copytree(archive, into, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        return into
    if archive.suffix in (".whl", ".zip"):
        zipfile.ZipFile(archive).extractall(into)
    else:
        with tarfile.open(archive) as file:
            file.extractall(into, filter="data")
    return into


def _downloaded(package: str, cache: Path) -> Path:
    """What the index has of a package: its sdist if pip can prepare that, else its wheel."""
    folder = cache / package
    for options in (["--no-binary", ":all:", "--no-build-isolation"], []):
        if not (folder.is_dir() and any(folder.iterdir())):
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *options, "-d", str(folder), package]
            subprocess.run(command, check=False, capture_output=not options)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    if not found:
        raise SystemExit(f"{package}: the index gave nothing; name an archive or a folder")
    return found[0]


def _row(outcome: Outcome) -> str:
    passed = sum(outcome.passed_over.values())
    trips = ", ".join(f"{how}: {what}" for how, what in outcome.round_trips.items())
    return (
        f"| {outcome.name} | {outcome.files} | {outcome.lines} | {outcome.changed} | {outcome.found} | {passed} | "
        f"{outcome.not_looked_at_lines} in {outcome.not_looked_at} | {len(outcome.unaccounted)} | {trips} |"
    )


def table(outcomes: list[Outcome]) -> str:
    reasons: Counter[str] = Counter()
    for outcome in outcomes:
        reasons.update(outcome.passed_over)
    lines = [
        "| package | files read | lines that name CUDA | changed | found | passed over | not looked at | unaccounted "
        "| undone |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(_row, outcomes),
        "",
        "| passed over as | lines |",
        "|---|---|",
        *(f"| {reason.replace('_', ' ')} | {count} |" for reason, count in reasons.most_common()),
    ]
    lines += ["", "| what | how many | |", "|---|---|---|"]
    lines += [f"| {what} | {count} | {'MISSED' if count else 'met'} |" for what, count in _verdict(outcomes).items()]
    for outcome in outcomes:
        lines += [f"\n{outcome.name}: {one}" for one in (*outcome.unaccounted, *outcome.wrong)]
    return "\n".join(lines)


def _verdict(outcomes: list[Outcome]) -> dict[str, int]:
    """How often something came out that must not."""
    wrong = [one for outcome in outcomes for one in outcome.wrong]
    known = {
        "files that undoing does not give back byte for byte": "undoing leaves",
        "files that a second port changes": "the second port changes",
        "`.py` files that compiled before and do not after": "does not compile",
    }
    counts = {what: sum(text in one for one in wrong) for what, text in known.items()}
    return {
        "lines that name CUDA and are in no account": sum(len(outcome.unaccounted) for outcome in outcomes),
        **counts,
        "exceptions": len(wrong) - sum(counts.values()),
    }


if __name__ == "__main__":
    sys.exit(main())
