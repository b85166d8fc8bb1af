"""What is missing where a script runs is read where its user has it; nothing is written, moved or removed there."""

from __future__ import annotations

import builtins
import glob
import io
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from script_trial.read_elsewhere import Elsewhere, read_elsewhere

OF_OS = (
    "open stat lstat chdir access listdir scandir listxattr getxattr statvfs utime chmod truncate link "
    "remove unlink rmdir rename replace"
).split()


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path, Elsewhere]]:
    """A folder to run in, and its user's, which must be as it was in the end."""
    work, mine = tmp_path / "work", tmp_path / "mine"
    for folder in (work, mine / "data" / "cats", mine / "data" / "dogs", mine / "out" / "checkpoint-5"):
        folder.mkdir(parents=True)
    for name in ("data/a.txt", "data/cats/1.txt", "data/dogs/2.txt", "out/old.txt", "out/checkpoint-5/w.pt", "top.csv"):
        (mine / name).write_text(f"mine: {name}")
    before = {path: path.is_file() and path.read_text() for path in mine.rglob("*")}
    monkeypatch.chdir(work)
    for module in (builtins, io):  # put back afterwards
        monkeypatch.setattr(module, "open", module.open)
    for name in OF_OS:
        monkeypatch.setattr(os, name, getattr(os, name))
    monkeypatch.setattr(shutil, "rmtree", shutil.rmtree)
    elsewhere = read_elsewhere([(work, mine)])
    yield work, mine, elsewhere
    elsewhere.end()
    assert {path: path.is_file() and path.read_text() for path in mine.rglob("*")} == before


@pytest.fixture
def folders(overlay: tuple[Path, Path, Elsewhere]) -> tuple[Path, Path]:
    return overlay[:2]


def test_a_missing_file_is_read_where_it_is(folders: tuple[Path, Path]) -> None:
    work, _ = folders
    with open("data/a.txt") as file:
        assert file.read() == "mine: data/a.txt"
    assert (work / "data" / "a.txt").read_text() == "mine: data/a.txt"
    with open(b"data/a.txt", "rb") as file:
        assert file.read() == b"mine: data/a.txt"
    number = os.open("data/a.txt", os.O_RDONLY)
    assert os.read(number, 4) == b"mine"
    os.close(number)


def test_a_folder_is_found_by_every_means(folders: tuple[Path, Path]) -> None:
    assert all(map(os.path.exists, ["data/cats", "data", "data/cats/1.txt"]))
    assert [os.path.isdir(one) for one in ("data/cats", "data/cats/1.txt")] == [True, False]
    assert [os.access(one, os.W_OK) for one in ("data", "data/cats", "data/b.txt")] == [True, True, False]
    assert os.path.getsize("data/a.txt") == 16
    assert sorted(os.listdir("data")) == ["a.txt", "cats", "dogs"]
    assert os.listdir(b"data/cats") == [b"1.txt"]
    assert sorted(os.listdir()) == ["data", "out", "top.csv"]
    with os.scandir("data") as entries:
        assert sorted((entry.name, entry.path, entry.is_dir()) for entry in entries) == [
            ("a.txt", "data/a.txt", False),
            ("cats", "data/cats", True),
            ("dogs", "data/dogs", True),
        ]
    walked = [(top, sorted(names)) for top, _, names in os.walk("data")]
    assert sorted(walked) == [("data", ["a.txt"]), ("data/cats", ["1.txt"]), ("data/dogs", ["2.txt"])]
    assert sorted(glob.glob("data/*/*.txt")) == ["data/cats/1.txt", "data/dogs/2.txt"]
    assert glob.glob("*.csv") == ["top.csv"]
    assert sorted(map(str, Path("data").rglob("*.txt"))) == ["data/a.txt", "data/cats/1.txt", "data/dogs/2.txt"]
    assert [one.name for one in Path("data/cats").iterdir()] == ["1.txt"]
    os.chdir("data/cats")
    assert Path("1.txt").read_text() == "mine: data/cats/1.txt"


@pytest.mark.parametrize("topdown", [True, False])
def test_a_folder_that_is_opened_is_walked_and_looked_into(folders: tuple[Path, Path], topdown: bool) -> None:
    found = {os.path.relpath(os.path.join(folder, name)) for folder, _, names, _ in os.fwalk("data", topdown=topdown)
             for name in names}  # fmt: skip
    assert found == {"data/a.txt", "data/cats/1.txt", "data/dogs/2.txt"}
    opened = os.open("data", os.O_RDONLY)
    assert sorted(os.listdir(opened)) == ["a.txt", "cats", "dogs"]
    assert glob.glob("*/*.txt", dir_fd=opened) == ["cats/1.txt", "dogs/2.txt"]
    assert os.stat("a.txt", dir_fd=opened).st_size == os.stat("data/a.txt").st_size
    assert os.access(path="a.txt", mode=os.R_OK, dir_fd=opened)
    assert os.path.samestat(os.stat(opened), os.stat("data"))
    pipe = os.pipe()
    assert not os.stat(pipe[0]).st_size  # it has no path
    number = os.open("a.txt", os.O_RDWR, dir_fd=opened)
    os.write(number, b"ours")
    os.close(number)
    assert Path("data/a.txt").read_text() == "ours: data/a.txt"
    os.rename("a.txt", "b.txt", src_dir_fd=opened, dst_dir_fd=opened)
    os.unlink("cats/1.txt", dir_fd=opened)
    shutil.rmtree("dogs", dir_fd=opened)
    assert sorted(os.listdir("data")) == ["b.txt", "cats"]
    assert os.listdir("data/cats") == []
    for number in (opened, *pipe):
        os.close(number)


def test_what_is_there_comes_first_and_is_listed_with_the_rest(folders: tuple[Path, Path]) -> None:
    work, _ = folders
    (work / "data").mkdir()
    (work / "data" / "a.txt").write_text("work")
    (work / "data" / "b.txt").write_text("work")
    assert Path("data/a.txt").read_text() == "work"
    assert sorted(os.listdir("data")) == ["a.txt", "b.txt", "cats", "dogs"]


@pytest.mark.parametrize("mode", ["x", "w", "w+"])
def test_nothing_is_written_there(folders: tuple[Path, Path], mode: str) -> None:
    with Path("data/a.txt").open(mode) as file:
        file.write("work")
    assert Path("data/a.txt").read_text() == "work"


def test_what_is_changed_is_a_copy(folders: tuple[Path, Path]) -> None:
    with open("data/a.txt", "a+") as file:
        file.seek(0)
        assert file.read() == "mine: data/a.txt"
        file.write("; work")
    assert Path("data/a.txt").read_text() == "mine: data/a.txt; work"
    with open("data/cats/1.txt", "r+") as file:
        file.write("work")
    assert Path("data/cats/1.txt").read_text() == "work: data/cats/1.txt"
    number = os.open("data/dogs/2.txt", os.O_WRONLY | os.O_APPEND)
    os.write(number, b"; work")
    os.close(number)
    assert Path("data/dogs/2.txt").read_text() == "mine: data/dogs/2.txt; work"
    os.utime("top.csv", (1, 1))
    os.truncate("top.csv", 4)
    os.chmod("out/old.txt", 0o600)
    assert (Path("top.csv").read_text(), os.stat("out/old.txt").st_mode & 0o777) == ("mine", 0o600)
    with pytest.raises(FileNotFoundError):
        open("data/b.txt", "r+").close()


def test_a_data_base_is_copied_before_it_is_opened(
    overlay: tuple[Path, Path, Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, mine, elsewhere = overlay
    monkeypatch.setattr(sqlite3, "connect", sqlite3.connect)
    assert sqlite3.__spec__ is not None
    elsewhere.readers()["sqlite3"](sqlite3.__spec__)
    sqlite3.connect("top.csv").close()
    assert (work / "top.csv").read_bytes() == (mine / "top.csv").read_bytes()


def test_files_and_folders_are_copied(folders: tuple[Path, Path]) -> None:
    work, _ = folders
    shutil.copy2("top.csv", "data/cats")
    assert (work / "data" / "cats" / "top.csv").read_text() == "mine: top.csv"
    shutil.copytree("data", "copy")
    assert sorted(map(str, Path("copy").rglob("*.*"))) == [
        *("copy/a.txt", "copy/cats/1.txt", "copy/cats/top.csv", "copy/dogs/2.txt")
    ]


def test_a_folder_is_moved_with_all_that_is_in_it(folders: tuple[Path, Path]) -> None:
    work, _ = folders
    os.rename("data", "moved")
    shutil.move("moved/cats", "cats")
    assert not os.path.exists("data")
    assert sorted(os.listdir("moved")) == ["a.txt", "dogs"]
    assert (work / "cats" / "1.txt").read_text() == "mine: data/cats/1.txt"
    shutil.move("out", "moved")
    assert os.listdir("moved/out") == ["old.txt"]


def test_a_folder_that_is_not_empty_stays(folders: tuple[Path, Path]) -> None:
    for _ in ("unseen", "seen"):
        with pytest.raises(OSError, match="not empty"):
            os.rmdir("data")
        assert os.listdir("data/cats") == ["1.txt"]
    os.remove("data/cats/1.txt")
    os.removedirs("data/cats")
    assert sorted(os.listdir("data")) == ["a.txt", "dogs"]


def test_what_a_link_leads_to_is_seen_in_its_place(folders: tuple[Path, Path], tmp_path: Path) -> None:
    work, mine = folders
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.bin").write_text("far")
    links = {"near.csv": "top.csv", "far": "../far", "far.bin": str(tmp_path / "far" / "a.bin"), "broken": "nothing"}
    for name, target in links.items():
        (mine / name).symlink_to(target)
    read = [Path(one).read_text() for one in ("near.csv", "far/a.bin", "far.bin")]
    assert (read, os.path.exists("broken")) == (["mine: top.csv", "far", "far"], False)
    assert [os.path.islink(one) for one in links] == [False] * 4
    assert [os.path.realpath(one) for one in links] == [str(work / one) for one in links]
    assert not any(entry.is_symlink() for entry in os.scandir())
    Path("far.bin").write_text("work")
    Path("far/a.bin").write_text("work")
    assert (tmp_path / "far" / "a.bin").read_text() == "far"
    for name in links:
        (mine / name).unlink()


def test_into_a_folder_that_was_seen_anything_can_be_put(folders: tuple[Path, Path]) -> None:
    work, _ = folders
    os.makedirs("out/run/1", exist_ok=True)
    assert os.path.isdir(work / "out" / "run" / "1")
    assert os.path.isdir("data/cats")
    with io.FileIO("data/cats/new.txt", "w") as file:  # not by `open`
        file.write(b"work")
    assert sorted(os.listdir("data/cats")) == ["1.txt", "new.txt"]


def test_what_is_removed_is_gone_here_alone(folders: tuple[Path, Path]) -> None:
    os.remove("data/a.txt")
    assert not os.path.exists("data/a.txt")
    assert sorted(os.listdir("data")) == ["cats", "dogs"]
    shutil.rmtree("data")
    assert not os.path.exists("data")
    assert "data" not in os.listdir()
    os.makedirs("data")
    assert os.listdir("data") == []
    os.rename("out/old.txt", "out/new.txt")
    assert Path("out/new.txt").read_text() == "mine: out/old.txt"
    assert os.listdir("out") == ["new.txt"]
    with pytest.raises(FileNotFoundError):
        os.remove("data/a.txt")


def test_what_a_training_would_go_on_from_is_not_seen(folders: tuple[Path, Path]) -> None:
    assert os.listdir("out") == ["old.txt"]
    assert not os.path.exists("out/checkpoint-5/w.pt")


def test_there_is_room_for_what_is_written_by_others(folders: tuple[Path, Path], tmp_path: Path) -> None:
    elsewhere = Elsewhere([folders])
    elsewhere.make_room("data/dogs/new.txt")
    assert os.path.isdir(folders[0] / "data" / "dogs")
    elsewhere.make_room("new/new.txt")
    assert not os.path.exists("new")


def test_what_is_nowhere_is_missed_by_its_own_name(folders: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"'data/b\.txt'"):
        Path("data/b.txt").read_text()
    with pytest.raises(FileNotFoundError, match="outside"):
        Path("../outside.txt").read_text()
    with pytest.raises(FileNotFoundError, match="nothing"):
        os.listdir("nothing")


def test_at_its_end_only_what_is_here_is_seen(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").touch()
    elsewhere = Elsewhere([(tmp_path / "work", tmp_path / "mine")])
    assert elsewhere.file(tmp_path / "work" / "a.txt") == str(tmp_path / "mine" / "a.txt")
    elsewhere.end()
    assert elsewhere.file("a.txt") == "a.txt"
