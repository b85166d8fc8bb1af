"""The notes by which undoing knows what a port cannot read off its own result."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.port_notes import ADDED_IMPORT, NAMED_BOTH, forget, note_of, remember, remembered, state_folder

from .conftest import Run

SCRIPT = b'import torch\nfrom diffsynth import a\nx = torch.cuda.mem_get_info("cuda")\n'
WITH_ITS_OWN = SCRIPT.replace(
    b"x =", b"from diffsynth.core.device.npu_compatible_device import get_device_name\nx =", 1
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Path(state_folder())


def test_files_are_remembered_until_they_are_undone(state: Path) -> None:
    remember("a.py", ADDED_IMPORT)
    remember("b.py", NAMED_BOTH)
    assert remembered() == {note_of("a.py", ADDED_IMPORT), note_of("b.py", NAMED_BOTH)}
    forget("a.py", ADDED_IMPORT)
    forget("b.py", ADDED_IMPORT)
    forget("never-ported.py", NAMED_BOTH)
    assert remembered() == {note_of("b.py", NAMED_BOTH)}


def test_a_link_and_what_it_leads_to_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to("a.py")
    assert note_of(str(tmp_path / "link.py"), NAMED_BOTH) == note_of(str(tmp_path / "a.py"), NAMED_BOTH)


def test_a_state_folder_that_cannot_be_written_is_no_error(state: Path) -> None:
    state.parent.write_text("a file where the folder should be", encoding="utf-8")
    remember("a.py", ADDED_IMPORT)
    forget("b.py", ADDED_IMPORT)
    assert remembered() == frozenset()


def test_there_and_back_whether_or_not_the_import_was_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "without.py").write_bytes(SCRIPT)
    (tmp_path / "with.py").write_bytes(WITH_ITS_OWN)
    run("without.py", "with.py", "--target", "npu")
    assert (tmp_path / "without.py").read_bytes() == (tmp_path / "with.py").read_bytes()
    run("without.py", "with.py", "--target", "cuda")
    assert (tmp_path / "without.py").read_bytes() == SCRIPT
    assert (tmp_path / "with.py").read_bytes() == WITH_ITS_OWN


def test_an_output_folder_is_undone_as_well(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SCRIPT)
    run("a.py", "--target", "npu", "--output", "ported")
    run("ported", "--target", "cuda", "--output", "undone")
    assert (tmp_path / "undone" / "a.py").read_bytes() == SCRIPT


CHOOSES = b'device = "npu" if torch.npu.is_available() else "cuda"\n'


def test_a_file_that_named_both_when_it_was_ported_is_not_undone(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_bytes(CHOOSES)
    run("a.py", "--target", "npu")
    ported = script.read_bytes()
    assert ported != CHOOSES
    done = run("a.py", "--target", "cuda")
    assert (done.returncode, script.read_bytes()) == (1, ported)
    assert b"DP109 error this file named cuda and an accelerator when it was ported" in done.stdout


def test_a_file_that_named_cuda_alone_is_undone_although_its_path_once_named_both(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_bytes(CHOOSES)
    run("a.py", "--target", "npu")
    script.write_bytes(SCRIPT)
    run("a.py", "--target", "npu")
    assert run("a.py", "--target", "cuda").returncode == 0
    assert script.read_bytes() == SCRIPT
