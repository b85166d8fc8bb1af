"""Where a script may write."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from script_trial.own_folders import OwnFolders, WritesElsewhere


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def folders(tmp_path: Path, notes: list[str]) -> OwnFolders:
    """Those of a trial, and of a user who keeps the scripts in a folder for temporary files."""
    return OwnFolders([tmp_path / "trial"], [tmp_path / "users"], notes.append)


@pytest.mark.parametrize(
    "file", ["trial", "trial/work/a.pt", "/dev/null", "~/.cache/a/b", 3, b"/dev/shm/a", "~/.a.json"]
)
def test_its_own_and_what_is_of_no_account(folders: OwnFolders, notes: list[str], tmp_path: Path, file: object) -> None:
    if isinstance(file, str):
        file = os.path.join(tmp_path, os.path.expanduser(file))
    folders.check(file)
    assert notes == []


@pytest.mark.parametrize("file", ["users/a.pt", "trial/../users/a.pt", "/a.pt", "/opt/out/a.pt", "~/a.pt"])
def test_another_place_is_refused(folders: OwnFolders, tmp_path: Path, file: str) -> None:
    with pytest.raises(WritesElsewhere, match=r"it would write to .*a\.pt, outside of the folder"):
        folders.check(os.path.join(tmp_path, os.path.expanduser(file)))


def test_a_place_that_all_share_is_noted(folders: OwnFolders, notes: list[str]) -> None:
    file = os.path.join(tempfile.gettempdir(), "out", "a.pt")
    folders.check(file)
    assert notes == [f"it writes to {file}, a place that all ways share"]


def test_links_are_followed(folders: OwnFolders, tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "users").mkdir()
    (tmp_path / "trial" / "link").symlink_to(tmp_path / "users")
    with pytest.raises(WritesElsewhere):
        folders.check(tmp_path / "trial" / "link" / "a.pt")


@pytest.fixture
def heard(folders: OwnFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The trial's folder, where this test runs and everything is heard."""
    for name in ("trial", "users"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    monkeypatch.chdir(tmp_path / "trial")
    is_over = False
    sys.addaudithook(lambda *event: None if is_over else folders._hear(*event))
    yield tmp_path / "trial"
    is_over = True


def connected(path: str) -> None:
    sqlite3.connect(path).close()


CHANGED: list[Callable[[str], object]] = [
    *(os.remove, connected, lambda path: shutil.rmtree(os.path.dirname(path))),
    *(lambda path: os.truncate(path, 0), lambda path: os.chmod(path, 0), lambda path: os.utime(path, (1, 1))),
    *(lambda path: os.setxattr(path, "user.a", b"1"), lambda path: os.chown(path, 0, 0)),
    *(lambda path: os.link(path, "mine"), lambda path: os.link("a.txt", path + "2")),
    *(lambda path: os.rename(path, "mine"), lambda path: os.rename("a.txt", path)),
    *(lambda path: os.rename("a.txt", path + "2"), lambda path: os.symlink("a.txt", path + "2")),
]


@pytest.mark.parametrize("change", CHANGED)
def test_whatever_changes_a_users_file_is_refused(heard: Path, change: Callable[[str], object]) -> None:
    with pytest.raises(WritesElsewhere):
        change("../users/a.txt")
    assert {one.name: one.read_text() for one in (heard / ".." / "users").iterdir()} == {"a.txt": "users"}
    assert Path("a.txt").read_text() == "trial"


def test_what_is_its_own_is_changed(heard: Path) -> None:
    os.chmod("a.txt", 0o644)
    os.truncate("a.txt", 2)
    os.rename("a.txt", "b.txt")
    os.symlink("../users/a.txt", "link")
    with pytest.raises(WritesElsewhere):
        open("link", "w").close()
    os.rename("link", "other")
    os.remove("other")
    with pytest.raises(FileNotFoundError):
        os.remove("../users/b.txt")
    assert (os.listdir(), Path("b.txt").read_text()) == (["b.txt"], "tr")
