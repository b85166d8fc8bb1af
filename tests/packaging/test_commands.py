"""The README's commands: `make port` in a fresh copy, and `make test` as what continuous integration runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def python_files(folder: Path) -> dict[str, bytes]:
    """The scripts in the folders of `folder`, by their place."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("*/**/*.py")}


def make_port(checkout: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["make", "port", f"PYTHON={sys.executable}"], cwd=checkout, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_make_port_sets_up_and_ports_the_examples(
    checkout: Path, offline_pip: dict[str, str], root: Path, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(checkout, fresh, symlinks=True)

    assert "-m venv .venv" in make_port(fresh, offline_pip)
    examples = python_files(root / "examples")
    # A script without an expected output has nothing to port, and is copied as it stands.
    assert python_files(fresh / "build" / "npu") == {**examples, **python_files(root / "tests" / "golden")}
    assert python_files(fresh / "examples") == examples

    assert "pip install" not in make_port(fresh, offline_pip)


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_gives_both_commands(root: Path, readme: str) -> None:
    commands = re.findall(r"^make \w+", (root / readme).read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == ["make port", "make test"]


def test_continuous_integration_runs_the_readme_command(root: Path) -> None:
    assert (root / ".ci" / "run").read_text(encoding="utf-8").endswith("exec make test\n")
    assert (root / ".ci" / "run").stat().st_mode & 0o111
