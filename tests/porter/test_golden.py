"""Every example, ported, is its expected output under tests/golden, and undone it is the example again.

One without an output there is not changed by the port. The NPU launch scripts among the examples are its output too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from porter.documents import port_bytes
from porter.documents.document import PortedBytes
from porter.port import Plan
from porter.record import entry_of, restored
from porter.shell.npu_script import is_npu_script, npu_script_of

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
GOLDEN = ROOT / "tests" / "golden"
GUIDE = ROOT / "tests" / "data" / "guide"

ENDINGS = (".py", ".sh", ".yaml")
FILES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*") if path.suffix in ENDINGS)
OUTPUTS = sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/**/*") if path.suffix in ENDINGS)
LAUNCH_SCRIPTS = [name for name in OUTPUTS if name.endswith(".sh")]
NPU_SCRIPTS = [name for name in FILES if is_npu_script(str(EXAMPLES / name))]
BY_HAND = (GOLDEN / "BY_HAND.txt").read_text("utf-8").splitlines()
HELPER_IMPORT = b"from diffsynth.core.device.npu_compatible_device import get_device_name\n"


def test_the_guide() -> None:
    before, after = (GUIDE / "before.py").read_bytes(), (GUIDE / "after.py").read_bytes()
    assert port_bytes("before.py", before, Plan("npu")).data == after


def test_the_guide_with_its_import_missing() -> None:
    before, after = (GUIDE / "before.py").read_bytes(), (GUIDE / "after.py").read_bytes()
    assert before.count(HELPER_IMPORT) == 1
    ported = port_bytes("before.py", before.replace(HELPER_IMPORT, b""), Plan("npu"))
    assert ported.data == after


def port(name: str, data: bytes, target: str = "npu") -> PortedBytes:
    """A file in the place of an example, from which the scripts that it launches are found."""
    return port_bytes(str(EXAMPLES / name), data, Plan(target))


def output_of(name: str) -> bytes:
    """What an example becomes."""
    return ((GOLDEN if name in OUTPUTS else EXAMPLES) / name).read_bytes()


def test_every_output_is_that_of_an_example_which_changes() -> None:
    assert set(OUTPUTS) <= set(FILES)
    assert [name for name in OUTPUTS if output_of(name) == (EXAMPLES / name).read_bytes()] == []
    assert [name for name in FILES if "/model_inference" in name and name not in OUTPUTS] == []


@pytest.mark.parametrize("name", FILES)
def test_example_becomes_its_output(name: str) -> None:
    assert port(name, (EXAMPLES / name).read_bytes()).data == output_of(name)
    assert port(name, output_of(name)).data == output_of(name)


@pytest.mark.parametrize("name", [name for name in FILES if name not in NPU_SCRIPTS])
def test_output_undone_is_the_example(name: str) -> None:
    example = (EXAMPLES / name).read_bytes()
    assert restored(output_of(name), entry_of(example, port(name, example).data, ["npu"])).data == example


@pytest.mark.parametrize("name", FILES)
def test_what_is_left_to_a_person_is_the_same_before_and_after(name: str) -> None:
    def left(data: bytes) -> list[tuple[str, str, str]]:
        return [(f.code, f.severity, f.message) for f in port(name, data).findings if not f.is_fix]

    assert left((EXAMPLES / name).read_bytes()) == left(output_of(name))


@pytest.mark.parametrize("name", LAUNCH_SCRIPTS)
def test_bash_reads_every_launch_script(name: str) -> None:
    for data in ((EXAMPLES / name).read_bytes(), output_of(name)):
        done = subprocess.run(["bash", "-n"], input=data, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


def test_the_npu_scripts_are_the_outputs_of_the_launch_scripts() -> None:
    forms = {Path(npu_script_of(name)).as_posix(): output_of(name) for name in LAUNCH_SCRIPTS}
    assert {name: (EXAMPLES / name).read_bytes() for name in NPU_SCRIPTS} == forms
    assert "wanvideo/model_training/special/npu_training/Wan2.2-T2V-A14B-NPU.sh" in forms


def test_the_port_would_write_the_npu_scripts_again(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "porter", "examples", "--target", "npu", "--npu-scripts", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")


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
    missing, changed, *_ = [name for name in OUTPUTS if name not in BY_HAND]
    (copied / missing).unlink()
    (copied / changed).write_bytes(b"")
    (copied / BY_HAND[0]).write_bytes(b"by hand")
    (copied / "wanvideo" / "stray.py").write_bytes(b"")
    assert regenerate(copied) == [f"new: {missing}", f"changed: {changed}", "removed: wanvideo/stray.py"]
    assert (copied / BY_HAND[0]).read_bytes() == b"by hand"
    assert (copied / missing).read_bytes() == (GOLDEN / missing).read_bytes()
    assert (copied / changed).read_bytes() == (GOLDEN / changed).read_bytes()
    assert not (copied / "wanvideo" / "stray.py").exists()
