"""The notes by which undoing knows the imports that a port has added."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.added_imports import forget, note_of, remember, remembered, state_folder

from .conftest import Run

SCRIPT = b'import torch\nfrom diffsynth import a\nx = torch.cuda.mem_get_info("cuda")\n'
WITH_ITS_OWN = SCRIPT.replace(
    b"x =", b"from diffsynth.core.device.npu_compatible_device import get_device_name\nx =", 1
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return state_folder()


def test_files_are_remembered_until_they_are_undone(state: Path) -> None:
    remember("a.py")
    remember("b.py")
    assert remembered() == {note_of("a.py"), note_of("b.py")}
    forget("a.py")
    forget("never-ported.py")
    assert remembered() == {note_of("b.py")}


def test_a_link_and_what_it_leads_to_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to("a.py")
    assert note_of(str(tmp_path / "link.py")) == note_of(str(tmp_path / "a.py"))


def test_a_state_folder_that_cannot_be_written_is_no_error(state: Path) -> None:
    state.parent.write_text("a file where the folder should be", encoding="utf-8")
    remember("a.py")
    forget("b.py")
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
