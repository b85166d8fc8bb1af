"""Which files a run takes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from porter.discovery import Input, find_inputs


def _make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")


def _found(*paths: str, **options: object) -> list[str]:
    return [one.path.replace(os.sep, "/") for one in find_inputs(paths, **options)]  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_takes_what_holds_python_in_order(tmp_path: Path) -> None:
    _make(tmp_path, "src/b.py", "src/a.PY", "src/c.pyi", "src/n.ipynb", "src/r.md", "src/x.txt", "src/sub/d.py")
    assert _found("src") == ["src/a.PY", "src/b.py", "src/c.pyi", "src/n.ipynb", "src/r.md", "src/sub/d.py"]


def test_takes_a_named_file_whatever_it_is_called(tmp_path: Path) -> None:
    _make(tmp_path, "train")
    assert _found("train") == ["train"]


def test_leaves_environments_and_caches(tmp_path: Path) -> None:
    _make(tmp_path, "a.py", ".venv/lib/b.py", "__pycache__/c.py", "node_modules/d.py", ".git/e.py")
    assert _found(".") == ["./a.py"]


def test_respects_gitignore_at_each_level(tmp_path: Path) -> None:
    _make(tmp_path, "a.py", "build/b.py", "sub/c.py", "sub/keep.py", "sub/deep/d.py", "sub/deep/keep.py")
    (tmp_path / ".gitignore").write_text("build/\nc.py\n", encoding="utf-8")
    (tmp_path / "sub/deep/.gitignore").write_text("*.py\n!keep.py\n", encoding="utf-8")
    assert _found(".") == ["./a.py", "./sub/keep.py", "./sub/deep/keep.py"]


def test_respects_the_gitignore_above_the_given_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    _make(tmp_path, "src/a.py", "src/generated.py", "src/local.py")
    (tmp_path / ".gitignore").write_text("generated.py\n", encoding="utf-8")
    (tmp_path / ".git/info/exclude").write_text("local.py\n", encoding="utf-8")
    assert _found("src") == ["src/a.py"]


def test_exclude_patterns_hold_for_named_files_too(tmp_path: Path) -> None:
    _make(tmp_path, "a.py", "tests/b.py")
    assert _found("a.py", "tests/b.py", exclude=["tests/"]) == ["a.py"]


def test_a_file_and_its_link_are_one(tmp_path: Path) -> None:
    _make(tmp_path, "a.py")
    (tmp_path / "b.py").symlink_to("a.py")
    assert _found(".") == ["./a.py"]
    assert _found("b.py", "a.py") == ["b.py"]


def test_a_link_to_a_file_outside_is_left_alone(tmp_path: Path) -> None:
    _make(tmp_path, "elsewhere/real.py", "src/a.py")
    (tmp_path / "src/link.py").symlink_to("../elsewhere/real.py")
    assert _found("src") == ["src/a.py"]
    assert _found("src/link.py") == ["src/link.py"]


def test_names_the_problem_of_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "dangling.py").symlink_to("gone.py")
    os.mkfifo(tmp_path / "pipe.py")
    problems = {one.path: one.problem for one in find_inputs(["loop.py", "dangling.py", "pipe.py", "none.py"])}
    assert problems == {
        "loop.py": "a link that leads back to itself",
        "dangling.py": "no such file or folder",
        "pipe.py": "not a regular file",
        "none.py": "no such file or folder",
    }


def test_a_folder_called_like_a_script_is_a_folder(tmp_path: Path) -> None:
    _make(tmp_path, "d.py/inner.py")
    assert _found(".") == ["./d.py/inner.py"]


def test_a_copy_takes_every_file_but_its_own_output(tmp_path: Path) -> None:
    _make(tmp_path, "a.py", "data.bin", "out/old.py")
    found = list(find_inputs(["."], every_file=True, leave_out=os.path.realpath("out")))
    assert found == [Input("./a.py", inside="."), Input("./data.bin", inside=".", portable=False)]


def test_names_with_odd_characters(tmp_path: Path) -> None:
    _make(tmp_path, "with space.py", "new\nline.py", "名前.py")
    assert sorted(_found(".")) == ["./new\nline.py", "./with space.py", "./名前.py"]


def test_takes_shell_scripts_and_yaml(tmp_path: Path) -> None:
    _make(tmp_path, "src/a.sh", "src/b.bash", "src/c.yaml", "src/d.yml", "src/e.zsh", "src/f", "src/g.txt")
    (tmp_path / "src/h").write_bytes(b"#!/usr/bin/env bash\n")
    (tmp_path / "src/i").write_bytes(b"#!/usr/bin/env python\n")
    (tmp_path / "src/j.txt").write_bytes(b"#!/bin/sh\n")
    assert _found("src") == ["src/a.sh", "src/b.bash", "src/c.yaml", "src/d.yml", "src/h"]


def _git(*arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def test_takes_what_git_tracks_though_a_pattern_matches(tmp_path: Path) -> None:
    _git("init", "-q")
    _make(tmp_path, "sat/model.py", "sat/deep/a.py", "sat/other.py", "b.py")
    (tmp_path / ".gitignore").write_text("sat\n", encoding="utf-8")
    _git("add", "-f", "sat/model.py", "sat/deep/a.py")
    assert _found(".") == ["./b.py", "./sat/model.py", "./sat/deep/a.py"]
    assert _found("sat") == ["sat/model.py", "sat/deep/a.py"]


def test_respects_gitignore_where_git_is_a_file(tmp_path: Path) -> None:
    """As in a worktree, and in a submodule."""
    (tmp_path / "main").mkdir()
    os.chdir("main")
    _git("init", "-q")
    _git("commit", "-q", "--allow-empty", "-m", "begin")
    (tmp_path / "main/.git/info/exclude").write_text("local.py\n", encoding="utf-8")
    _git("worktree", "add", "-q", "../tree")
    os.chdir("../tree")
    _make(tmp_path / "tree", "src/a.py", "src/generated.py", "src/local.py")
    (tmp_path / "tree/.gitignore").write_text("generated.py\n", encoding="utf-8")
    assert (tmp_path / "tree/.git").is_file()
    assert _found("src") == ["src/a.py"]


def test_a_repository_without_git_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git("init", "-q")
    _make(tmp_path, "a.py", "b.py")
    (tmp_path / ".gitignore").write_text("b.py\n", encoding="utf-8")
    monkeypatch.setenv("PATH", "")
    assert _found(".") == ["./a.py"]
