"""Where a script may write."""

from __future__ import annotations

import os
import tempfile
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
