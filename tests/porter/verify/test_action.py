"""The action for GitHub's workflows: its last step, run by bash, with a stand-in that tells what it was given."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With two commits: the second one changes `b c.py` and adds `run.sh` and `notes.txt`."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    for name in ("a.py", "b c.py", "gone.py"):
        (folder / name).write_text("print(1)\n")
    commit(folder)
    (folder / "b c.py").write_text("print(2)\n")
    (folder / "run.sh").write_text("python a.py\n")
    (folder / "notes.txt").write_text("none\n")
    (folder / "gone.py").unlink()
    commit(folder)
    return folder


def test_changed_scripts_are_verified_and_the_table_goes_to_the_summary(repository: Path, tmp_path: Path) -> None:
    done = verify_step(repository, tmp_path, BASE="HEAD~1")
    assert done.returncode == 1, "as diffsynth-port says"
    told = (tmp_path / "arguments").read_text().splitlines()
    assert told[:2] == ["verify", "--skip-others"]
    assert told[-2:] == ["b c.py", "run.sh"]
    assert [word for word in told if word.startswith("reports/")] == [
        f"reports/report.{end}" for end in ("html", "json", "xml")
    ]
    assert (tmp_path / "summary").read_text() == "```\nthe table\n```\n"


def test_paths_and_options_are_handed_on(repository: Path, tmp_path: Path) -> None:
    verify_step(repository, tmp_path, PATHS="a.py\nb c.py", OPTIONS="--hardware atlas-a3")
    told = (tmp_path / "arguments").read_text().splitlines()
    assert told[:3] == ["verify", "--hardware", "atlas-a3"]
    assert told[-2:] == ["a.py", "b c.py"]
    assert "--skip-others" not in told


def test_a_change_without_scripts_passes_and_a_missing_base_is_told(repository: Path, tmp_path: Path) -> None:
    assert verify_step(repository, tmp_path, BASE="HEAD").returncode == 0
    assert not (tmp_path / "arguments").exists()
    missing = verify_step(repository, tmp_path, BASE="0" * 40)
    assert missing.returncode == 2
    assert "check out with fetch-depth: 0" in missing.stdout


def verify_step(repository: Path, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The last step of the action."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    tool = tools / "diffsynth-port"
    tool.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\necho "the table"\nexit 1\n')
    tool.chmod(0o755)
    (tmp_path / "summary").touch()
    step = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"][-1]
    given = {"PATHS": "", "OPTIONS": "", "REPORT": "reports", "BASE": "", **environment}
    assert set(step["env"]) == set(given)
    env = {**os.environ, **given, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    env["PATH"] = f"{tools}{os.pathsep}{env['PATH']}"
    # As GitHub's runner calls it for `shell: bash`.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, check=False, timeout=60)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "--message", "change")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, timeout=60)
