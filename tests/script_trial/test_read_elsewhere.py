"""What is missing where a script runs is read where its user has it; nothing is written there."""

from __future__ import annotations

from pathlib import Path

import pytest

from script_trial import read_elsewhere


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    work, mine = tmp_path / "work", tmp_path / "mine"
    for folder in (work, mine / "data"):
        folder.mkdir(parents=True)
    (mine / "data" / "a.txt").write_text("mine")
    monkeypatch.chdir(work)
    for module in (read_elsewhere.builtins, read_elsewhere.io):
        monkeypatch.setattr(module, "open", open)  # put back afterwards
    read_elsewhere.read_elsewhere([(work, mine)])
    return work, mine


def test_a_missing_file_is_read_where_it_is(folders: tuple[Path, Path]) -> None:
    work, _ = folders
    with open("data/a.txt") as file:
        assert file.read() == "mine"
    assert (work / "data" / "a.txt").read_text() == "mine"
    with open(b"data/a.txt", "rb") as file:
        assert file.read() == b"mine"


def test_what_is_there_comes_first(folders: tuple[Path, Path]) -> None:
    work, mine = folders
    (work / "data").mkdir()
    (work / "data" / "a.txt").write_text("work")
    assert Path("data/a.txt").read_text() == "work"
    assert (mine / "data" / "a.txt").read_text() == "mine"


@pytest.mark.parametrize("mode", ["a", "r+", "x"])
def test_nothing_is_written_there(folders: tuple[Path, Path], mode: str) -> None:
    _, mine = folders
    with pytest.raises(FileNotFoundError):
        Path("data/a.txt").open(mode).close()
    assert (mine / "data" / "a.txt").read_text() == "mine"


def test_a_file_that_is_nowhere_is_missed_by_its_own_name(folders: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"'data/b\.txt'"):
        Path("data/b.txt").read_text()
    with pytest.raises(FileNotFoundError, match="outside"):
        Path("../outside.txt").read_text()
