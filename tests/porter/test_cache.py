"""What one run remembers for the next: told again word for word, and never in the way."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

import porter.runner
from porter.cache import Cache, cache_file
from porter.cli import command
from porter.discovery import Input
from porter.findings import Failure, FileReport, Finding
from porter.port_file import Job

LONG_AGO = 1_600_000_000

NOTED = "import torch\n\ntorch.backends.cudnn.benchmark = True\n"
QUIET = "print('nothing here')\n"
PORTED = 'import torch\n\nmodel = torch.nn.Linear(2, 2).to("cuda")\n'


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with something to note, something to port and something to leave, none of it changed lately."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "tree"
    folder.mkdir()
    for name, text in {"noted.py": NOTED, "quiet.py": QUIET, "ported.py": PORTED}.items():
        write(folder / name, text)
    return folder


def write(path: Path, text: str, at: int = LONG_AGO) -> None:
    path.write_text(text)
    os.utime(path, (at, at))


@pytest.fixture
def looked_at(monkeypatch):
    """The names of the files that the runs read."""
    seen = []
    port = porter.runner.port_files

    def port_files(inputs: Sequence[Input], job: Job) -> list[FileReport]:
        seen.extend(Path(one.path).name for one in inputs)
        return port(inputs, job)

    monkeypatch.setattr(porter.runner, "port_files", port_files)
    return seen


def run(*arguments: str):
    done = CliRunner().invoke(command, [*arguments, "--target", "npu", "-j", "1"])
    assert done.exit_code in (0, 1), done.output
    return done.stdout


def test_says_again_what_it_said_without_reading(tree, looked_at):
    first = run("tree", "--check")
    assert sorted(looked_at) == ["noted.py", "ported.py", "quiet.py"]
    looked_at.clear()
    assert run("tree", "--check") == first
    assert "DP205" in first
    assert looked_at == ["ported.py"]  # there is something to do in it


@pytest.mark.parametrize("format_", ["json", "sarif", "github", "text"])
def test_formats_are_the_same_from_memory(tree, format_):
    arguments = ("tree", "--check", "--format", format_)
    assert run(*arguments) == run(*arguments) == run(*arguments, "--no-cache")


def test_what_changed_is_read_anew(tree, looked_at):
    run("tree", "--check")
    looked_at.clear()
    write(tree / "quiet.py", NOTED, LONG_AGO + 1)
    assert run("tree", "--check").count("DP205") == 2
    assert sorted(looked_at) == ["ported.py", "quiet.py"]


def test_a_file_changed_just_now_is_not_relied_on(tree, tmp_path):
    path, file = str(tree / "noted.py"), str(tmp_path / "cache.json")
    os.utime(path)
    cache = Cache(file)
    cache.keep(path, "", FileReport(path))
    cache.save()
    assert Cache(file).findings(path, "") is None


@pytest.mark.parametrize("other", [("--ignore", "DP205"), ("--hardware", "atlas-a3"), ("--torch-npu", "2.7.1")])
def test_other_settings_ask_anew(tree, looked_at, other):
    run("tree", "--check")
    looked_at.clear()
    run("tree", "--check", *other)
    assert len(looked_at) == 3


def test_what_another_file_defines_counts(tree, looked_at):
    """A class with a `cuda` of its own changes what a call in another file means."""
    write(tree / "uses.py", "from batch import Batch\n\nbatch = Batch()\nprint(batch)\n")
    run("tree", "--check")
    looked_at.clear()
    write(tree / "batch.py", "class Batch:\n    def cuda(self):\n        return self\n")
    run("tree", "--check")
    assert len(looked_at) == 5


def test_a_port_is_made_whatever_is_remembered(tree):
    run("tree", "--check")
    run("tree")
    assert '"npu"' in (tree / "ported.py").read_text()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 1}', '{"tree/noted.py": [1, 2, {"findings": ["", [1]]}]}'])
def test_damage_is_found_out_anew(tree, tmp_path, damage):
    first = run("tree", "--check")
    (kept,) = (tmp_path / "cache" / "diffsynth-port").iterdir()
    kept.write_text(damage)
    assert run("tree", "--check") == first
    assert json.loads(kept.read_text())


def test_a_cache_that_cannot_be_written_is_done_without(tree, tmp_path):
    (tmp_path / "file").write_text("")
    assert run("tree", "--check", "--cache-dir", "file/below") == run("tree", "--check", "--no-cache")


def test_no_cache_and_named_files_leave_nothing(tree, tmp_path):
    run("tree", "--check", "--no-cache")
    run("tree/noted.py", "--check")
    assert not (tmp_path / "cache").exists()


def test_a_folder_for_it_by_option_and_environment(tree, tmp_path, monkeypatch):
    run("tree", "--check", "--cache-dir", "here")
    monkeypatch.setenv("DIFFSYNTH_PORT_CACHE_DIR", "there")
    run("tree", "--check")
    assert len(list((tmp_path / "here").iterdir())) == len(list((tmp_path / "there").iterdir())) == 1


def test_only_what_went_well_is_kept(tree):
    path, file = str(tree / "noted.py"), str(tree / "cache.json")
    finding = Finding("DP205", "note", "m", 1, 1, 1, 2)
    for report, kept in (
        (FileReport(path, findings=(finding,)), (finding,)),
        (FileReport(path, changed=True), None),
        (FileReport(path, failure=Failure("no")), None),
    ):
        cache = Cache(file)
        cache.keep(path, "", report)
        cache.save()
        assert Cache(file).findings(path, "") == kept
        assert Cache(file).findings(path, "other") is None
        Path(file).unlink(missing_ok=True)


def test_old_ones_go(tmp_path, monkeypatch):
    monkeypatch.setattr("porter.cache._KEPT", 2)
    for number in range(4):
        file = cache_file(str(tmp_path / "cache"), number)
        cache = Cache(file)
        write(tmp_path / "a.py", QUIET)
        cache.keep(str(tmp_path / "a.py"), "", FileReport("a.py"))
        cache.save()
        os.utime(file, (LONG_AGO + number, LONG_AGO + number))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert os.path.exists(file)
