"""The baseline: what it accepts, what counts as new, and files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from porter import baseline
from porter.baseline import BaselineError
from porter.findings import FileReport, Finding

LACKING = Finding("DP201", "error", "torch.cuda.nvtx is lacking", 3, 1, 3, 20, "leave it out")
NOTE = Finding("DP301", "note", "draws other numbers", 5, 1, 5, 20)
FIX = Finding("DP101", "fix", '"cuda" becomes "npu"', 9, 1, 9, 7)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_accepts_what_it_was_written_from() -> None:
    report = FileReport("a.py", True, (LACKING, NOTE, FIX))
    baseline.write("accepted.json", [report])
    assert baseline.new_findings(report, baseline.load("accepted.json")) == (FIX,)


def test_lines_may_move() -> None:
    baseline.write("accepted.json", [FileReport("a.py", findings=(LACKING,))])
    moved = FileReport("a.py", findings=(LACKING._replace(line=30, end_line=30, column=5),))
    assert baseline.new_findings(moved, baseline.load("accepted.json")) == ()


def test_one_more_of_the_same_is_new() -> None:
    second, third = LACKING._replace(line=7), LACKING._replace(line=8)
    baseline.write("accepted.json", [FileReport("a.py", findings=(LACKING, second))])
    accepted = baseline.load("accepted.json")
    assert baseline.new_findings(FileReport("a.py", findings=(LACKING, second, third)), accepted) == (third,)
    assert baseline.new_findings(FileReport("a.py", findings=(LACKING,)), accepted) == ()


@pytest.mark.parametrize(
    ("path", "finding"),
    [
        ("b.py", LACKING),
        ("a.py", LACKING._replace(code="DP202")),
        ("a.py", LACKING._replace(message="torch.cuda.graphs is lacking")),
    ],
)
def test_another_file_rule_or_message_is_new(path: str, finding: Finding) -> None:
    baseline.write("accepted.json", [FileReport("a.py", findings=(LACKING,))])
    assert baseline.new_findings(FileReport(path, findings=(finding,)), baseline.load("accepted.json")) == (finding,)


def test_files_are_named_from_the_baselines_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "ci").mkdir()
    (folder / "src").mkdir()
    baseline.write("ci/accepted.json", [FileReport("src/a.py", findings=(LACKING,))])
    (entry,) = json.loads((folder / "ci/accepted.json").read_text())["findings"]
    assert entry == {"path": "../src/a.py", "rule": "DP201", "message": LACKING.message, "count": 1}
    monkeypatch.chdir(folder / "src")
    accepted = baseline.load("../ci/accepted.json")
    for path in ("a.py", "./a.py", str(folder / "src/a.py")):
        assert baseline.new_findings(FileReport(path, findings=(LACKING,)), accepted) == ()
    assert baseline.new_findings(FileReport("b.py", findings=(LACKING,)), accepted) == (LACKING,)


def test_the_file_is_sorted_and_the_same_for_the_same_findings(folder: Path) -> None:
    reports = [FileReport("b.py", findings=(NOTE, LACKING)), FileReport("a\udcff.py", findings=(NOTE,))]
    baseline.write("one.json", reports)
    baseline.write("two.json", reports[::-1])
    text = (folder / "one.json").read_text(encoding="ascii")
    assert text == (folder / "two.json").read_text(encoding="ascii")
    assert text.endswith("}\n")
    rows = [(entry["path"], entry["rule"]) for entry in json.loads(text)["findings"]]
    assert rows == [("a\udcff.py", "DP301"), ("b.py", "DP201"), ("b.py", "DP301")]


def test_it_is_replaced_whole(folder: Path) -> None:
    baseline.write("accepted.json", [FileReport("a.py", findings=(LACKING,))])
    inode = os.stat("accepted.json").st_ino
    baseline.write("accepted.json", [])
    assert os.stat("accepted.json").st_ino != inode
    assert baseline.load("accepted.json").counts == {}
    assert os.listdir(folder) == ["accepted.json"]


OURS = {"tool": "diffsynth-port", "version": 1}
ENTRY = {"path": "a.py", "rule": "DP201", "message": "m", "count": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a baseline of diffsynth-port"),
        (b"{", "not a baseline of diffsynth-port"),
        (b"\xff\xfe", "not a baseline of diffsynth-port"),
        (b"[" * 100_000, "not a baseline of diffsynth-port"),
        (b"[]", "not a baseline of diffsynth-port"),
        (b'{"findings": []}', "not a baseline of diffsynth-port"),
        (json.dumps({**OURS, "version": 2, "findings": []}).encode(), "a baseline of version 2"),
        (json.dumps(OURS).encode(), "is damaged"),
        (json.dumps({**OURS, "findings": [{**ENTRY, "count": 0}]}).encode(), "is damaged"),
        (json.dumps({**OURS, "findings": [{**ENTRY, "path": None}]}).encode(), "is damaged"),
        (json.dumps({**OURS, "findings": ["a.py"]}).encode(), "is damaged"),
    ],
)
def test_a_file_that_is_no_baseline_is_named_and_never_overwritten(folder: Path, content: bytes, says: str) -> None:
    (folder / "settings.json").write_bytes(content)
    with pytest.raises(BaselineError, match=f"^settings.json: .*{says}"):
        baseline.load("settings.json")
    with pytest.raises(BaselineError, match=says):
        baseline.write("settings.json", [])
    assert (folder / "settings.json").read_bytes() == content


def test_a_baseline_that_is_missing_or_cannot_be_written_is_named(folder: Path) -> None:
    with pytest.raises(BaselineError, match=r"none.json: the baseline cannot be read: No such file"):
        baseline.load("none.json")
    with pytest.raises(BaselineError, match=r"no/such/folder.json: the baseline was not written: No such file"):
        baseline.write("no/such/folder.json", [])
    (folder / "folder").mkdir()
    with pytest.raises(BaselineError, match="folder: the baseline cannot be read: Is a directory"):
        baseline.load("folder")
