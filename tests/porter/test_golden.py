"""Every example, ported, is its expected output under tests/golden, and undone it is the example again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from porter.port import Plan
from porter.port_file import port_bytes

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
GOLDEN = ROOT / "tests" / "golden"
GUIDE = ROOT / "tests" / "data" / "guide"

SCRIPTS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py"))
BY_HAND = (GOLDEN / "BY_HAND.txt").read_text("utf-8").splitlines()
HELPER_IMPORT = b"from diffsynth.core.device.npu_compatible_device import get_device_name\n"


def test_the_guide() -> None:
    before, after = (GUIDE / "before.py").read_bytes(), (GUIDE / "after.py").read_bytes()
    assert port_bytes("before.py", before, Plan("npu")).data == after


def test_the_guide_with_its_import_missing() -> None:
    before, after = (GUIDE / "before.py").read_bytes(), (GUIDE / "after.py").read_bytes()
    assert before.count(HELPER_IMPORT) == 1
    ported = port_bytes("before.py", before.replace(HELPER_IMPORT, b""), Plan("npu"))
    assert (ported.data, ported.added_import) == (after, True)


def test_there_is_one_output_for_each_example_and_no_other() -> None:
    assert sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/**/*.py")) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_example_becomes_its_output(script: str) -> None:
    example, golden = (EXAMPLES / script).read_bytes(), (GOLDEN / script).read_bytes()
    assert port_bytes(script, example, Plan("npu")).data == golden
    assert port_bytes(script, golden, Plan("npu")).data == golden


@pytest.mark.parametrize("script", SCRIPTS)
def test_output_undone_is_the_example(script: str) -> None:
    example, golden = (EXAMPLES / script).read_bytes(), (GOLDEN / script).read_bytes()
    added = port_bytes(script, example, Plan("npu")).added_import
    assert port_bytes(script, golden, Plan("cuda"), added_import=added).data == example


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_left_to_a_person_is_the_same_before_and_after(script: str) -> None:
    def left(path: Path) -> list[tuple[str, str, str]]:
        findings = port_bytes(script, path.read_bytes(), Plan("npu")).findings
        return [(f.code, f.severity, f.message) for f in findings if not f.is_fix]

    assert left(EXAMPLES / script) == left(GOLDEN / script)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the examples and their outputs."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    shutil.copytree(GOLDEN, tmp_path / "tests" / "golden")
    return tmp_path / "tests" / "golden"


def regenerate(golden: Path) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(golden / "regenerate.py")]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=120)
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_regenerating_changes_nothing_when_all_is_as_it_should_be(copied: Path) -> None:
    assert regenerate(copied) == []


def test_regenerating_never_touches_what_is_written_by_hand(copied: Path) -> None:
    missing, changed, *_ = [script for script in SCRIPTS if script not in BY_HAND]
    (copied / missing).unlink()
    (copied / changed).write_bytes(b"")
    (copied / BY_HAND[0]).write_bytes(b"by hand")
    (copied / "wanvideo" / "stray.py").write_bytes(b"")
    assert regenerate(copied) == [f"new: {missing}", f"changed: {changed}", "removed: wanvideo/stray.py"]
    assert (copied / BY_HAND[0]).read_bytes() == b"by hand"
    assert (copied / missing).read_bytes() == (GOLDEN / missing).read_bytes()
    assert (copied / changed).read_bytes() == (GOLDEN / changed).read_bytes()
    assert not (copied / "wanvideo" / "stray.py").exists()
