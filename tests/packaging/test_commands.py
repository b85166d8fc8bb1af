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

    # It holds no torch: what needs it says so in one line.
    verify = [str(fresh / ".venv" / "bin" / "diffsynth-port"), "verify", "examples/wanvideo/model_inference"]
    done = subprocess.run(verify, cwd=fresh, env=offline_pip, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "diffsynth-port verify: verify runs the scripts, which needs torch: install it, and the libraries that they use"
    )


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readme_gives_both_commands(root: Path, readme: str) -> None:
    page = (root / readme).read_text(encoding="utf-8")
    assert re.findall(r"^make \w+", page, re.MULTILINE) == ["make port", "make test"]
    assert "`make test TESTS=tests/porter`" in page


def test_make_test_says_what_it_runs_and_for_how_long(root: Path) -> None:
    def said(*arguments: str) -> str:
        dry = ["make", "--dry-run", "--assume-old=.venv/dev.stamp", "--assume-old=build/wheelhouse/stamp", *arguments]
        return subprocess.run([*dry, "test"], cwd=root, capture_output=True, text=True, check=True).stdout

    assert "All tests: about 10 minutes on 2 cores (make test TESTS=tests/porter: a part of them)" in said()
    (pytest,) = (line for line in said("TESTS=tests/porter").splitlines() if " -m pytest " in line)
    assert "-n auto --dist loadfile" in pytest
    assert pytest.endswith(" tests/porter")


def test_continuous_integration_runs_the_readme_command(root: Path) -> None:
    assert (root / ".ci" / "run").read_text(encoding="utf-8").endswith("exec make test\n")
    assert (root / ".ci" / "run").stat().st_mode & 0o111
