"""`diffsynth-port verify` as its users meet it: a process, its output and its exit status."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.machine import install_entry_points, needs_emulator

from .conftest import EXAMPLES, ROOT

SCRIPT = "wanvideo/model_inference/Wan2.1-T2V-1.3B.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run(*arguments, **environment)``: `diffsynth-port verify` in the test's folder."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "porter", "verify", *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environment}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, check=False, timeout=600)

    return call


@pytest.fixture
def entry_points(tmp_path: Path) -> Path:
    """A folder that, on PYTHONPATH, gives torch the entry points an installed copy of the project has."""
    return install_entry_points(tmp_path / "installed")


@needs_emulator
def test_a_report_that_cannot_be_written_at_the_end_does_not_cost_the_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text("print('loss 0.5')\n")
    (tmp_path / "full.xml").symlink_to("/dev/full")
    done = run("prints.py", "--report", "full.xml")
    assert done.returncode == 2
    assert "0 scripts passed, 1 failed" in done.stdout, done.stderr
    assert "Error: --report full.xml was not written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@needs_emulator
def test_a_folder_is_told_of_in_a_table_a_report_and_pictures(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "good.py").write_bytes((EXAMPLES / SCRIPT).read_bytes())
    (tmp_path / "scripts" / "bad.py").write_text("import diffsynth.pipelines.nothing\n")
    (tmp_path / "scripts" / "other.py").write_text("print('no pipeline here')\n")
    done = run(
        "scripts", "--picture", "frames", "--report", "report.json", "--report", "report.xml", "--memory", "4GiB",
        "--report", "report.html",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr

    heading, bad, reason, code, good, *_ = done.stdout.splitlines()
    assert heading.split() == "script ran equal peak memory ops on npu ops on cpu refused seconds".split()
    assert bad.split()[:3] == ["scripts/bad.py", "0/3", "-"]
    assert bad.endswith("FAILED")
    assert reason.strip().startswith("every way: line 1: it needs the module diffsynth.pipelines.nothing")
    assert code == "        1 | import diffsynth.pipelines.nothing"
    assert good.split()[:3] == ["scripts/good.py", "3/3", "yes"]
    assert good.endswith("passed")
    assert done.stdout.endswith("\n1 script passed, 1 failed\n")

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["memory"] == "4GiB"
    assert {name: way["machine"]["cuda_is"] for name, way in report["ways"].items()} == {
        "cpu": "cpu",
        "redirected": "npu",
        "ported": "cuda",
    }
    assert [script["passed"] for script in report["scripts"]] == [False, True]
    assert report["summary"] == {"passed": 1, "failed": 1, "skipped": 0}
    assert str(tmp_path) not in json.dumps(report["scripts"][1])

    good = report["scripts"][1]
    assert good["repeat"] == "diffsynth-port verify scripts/good.py"
    assert good["outcomes"]["ported"]["networks"]["dit"]["peak_memory"] > 2**20
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "it needs the module diffsynth.pipelines.nothing" in suite[0][0].get("message", "")
    assert "to repeat it: diffsynth-port verify scripts/bad.py" in (suite[0][0].text or "")
    assert len(suite[1]) == 0

    page = (tmp_path / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 15
    assert "none: equal to the bit" in page
    assert "diffsynth-port verify --memory 4GiB scripts/bad.py" in page

    picture = Image.open(tmp_path / "frames" / "good.png").convert("RGB")
    rows = [picture.crop((150, 4 + 100 * row, picture.width, 100 + 100 * row)).tobytes() for row in range(3)]
    assert rows[0] == rows[1] == rows[2]
    assert len(set(rows[0])) > 100  # frames, no blank sheet


def test_a_hook_names_files_that_are_no_scripts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import torch\n\ndef f():\n    return torch.ones(1)\n")
    done = run("module.py", "--skip-others")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no script to verify\n")
    assert run("missing.py", "--skip-others").returncode == 2


@pytest.mark.slow
@needs_emulator
def test_the_device_of_the_machine(run: Run, tmp_path: Path, entry_points: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(entry_points)])
    done = run(str(EXAMPLES / SCRIPT), "--device", "npu", "--format", "json", NPU_EMULATOR="1", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert json.loads((tmp_path / "diffsynth-verify-npu.json").read_text()) == report
    assert "report written to diffsynth-verify-npu.json" in done.stderr
    assert report["device"] == "npu"
    assert report["ways"]["cpu"]["machine"]["npu"] is None
    assert report["ways"]["ported"]["machine"]["npu"].startswith("Ascend910B")
    assert report["scripts"][0]["ran"] == 3


@pytest.mark.slow
@pytest.mark.skipif(bool(glob.glob("/dev/davinci[0-9]*")), reason="this machine has an NPU")
def test_the_device_of_a_machine_that_has_none(run: Run) -> None:
    done = run(str(EXAMPLES / SCRIPT), "--device", "npu")
    assert done.returncode == 2
    assert done.stderr.startswith("diffsynth-port verify: --device npu needs an Ascend NPU with torch_npu")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(platform.system() != "Linux", reason="the emulated NPU runs on Linux")
@pytest.mark.skipif(bool(glob.glob("/dev/davinci[0-9]*")), reason="the emulated NPU never runs beside a real one")
def test_without_a_compiler_it_says_so(run: Run, tmp_path: Path) -> None:
    environment = {"CXX": "no-such-compiler", "NPU_EMULATOR_PREBUILT": "0", "NPU_EMULATOR_CACHE": str(tmp_path)}
    done = run(str(EXAMPLES / SCRIPT), **environment)
    assert done.returncode == 2
    assert done.stderr.startswith("diffsynth-port verify: npu_emulator compiles its backend on first use")
    assert "CXX=no-such-compiler was not found. Install a C++ compiler" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'PATHS...', or a command behind"),
        (("nowhere.py",), "nowhere.py: no such file"),
        ((".",), "no script in . imports diffsynth"),
        (("broken",), "name other programs one by one; broken/a.py cannot be read: line 2: '(' was never closed"),
        (
            (".", "--hardware", "h100"),
            "unknown hardware 'h100'; known: atlas-a2, atlas-a3, ascend-950dt, atlas-910, atlas-310p, atlas-200i-a2",
        ),
        (
            (".", "--device", "npu", "--memory", "8GiB"),
            "--memory is for the emulated NPU; a real one has the memory it",
        ),
        ((".", "--picture", "file"), "--picture file is a file; name a folder"),
        ((".", "--report", "page.txt"), "--report page.txt: the name has to end in .json or .xml"),
        ((".", "--report", "folder.xml"), "--report folder.xml is a folder; name a file"),
        ((".", "--report", "/proc/page.html"), "--report /proc/page.html cannot be written: "),
        ((".", "--report", "nowhere/page.html"), "--report nowhere/page.html: there is no such folder; make it"),
        (("--", "python", "nowhere.py"), "python nowhere.py: it launches no Python script by python, torchrun"),
        ((".", "--timeout", "0"), "Invalid value for '--timeout': '0': expected a number of seconds above 0"),
        ((".", "--timeout", "abc"), "Invalid value for '--timeout': 'abc': expected a number of seconds above 0"),
        ((".", "--processes", "0"), "Invalid value for '--processes'"),
        ((".", "--target", "npu"), "No such option"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.py").write_text("import torch\nprint(\n")
    (tmp_path / "folder.xml").mkdir()
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_amount_of_memory_that_is_none(run: Run) -> None:
    done = run(str(EXAMPLES / SCRIPT), "--memory", "lots")
    assert done.returncode == 2
    assert "--memory 'lots': expected an amount of memory such as 64GiB" in done.stderr
    assert "Traceback" not in done.stderr


def _hear_interrupts() -> None:
    """What a shell has put in the background ignores them, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, as it runs a script that does not come to its end."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "sleeps.py").write_text("import time\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "porter", "verify", "sleeps.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env, preexec_fn=_hear_interrupts
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "[1/1] sleeps.py\n"
        yield process


@needs_emulator
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_no_failure_of_what_runs(
    sleeping: subprocess.Popen[str], number: signal.Signals, tmp_path: Path
) -> None:
    sleeping.send_signal(number)
    assert sleeping.communicate(timeout=100)[1] == "interrupted\n"
    assert sleeping.returncode == 2
    assert list((tmp_path / "temporary").iterdir()) == []


@needs_emulator
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_request_to_end_does_not_keep_the_command_from_ending(
    sleeping: subprocess.Popen[str], second: signal.Signals, tmp_path: Path
) -> None:
    """As `timeout` and CI make it, and people who press Ctrl-C again."""
    _until_all_ways_run(tmp_path)
    sleeping.send_signal(signal.SIGINT)
    for _ in range(100):
        time.sleep(0.001)
        sleeping.send_signal(second)
    assert sleeping.communicate(timeout=60)[1] == "interrupted\n"
    assert sleeping.returncode == 2
    assert list((tmp_path / "temporary").iterdir()) == []


@needs_emulator
def test_a_launch_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text('import torch\nprint(float(torch.ones(3, device="cuda").sum()))\n')
    (tmp_path / "run.sh").write_text("torchrun prints.py\n")
    command = [sys.executable, "-m", "porter", "verify", "run.sh", "--processes", "1"]
    with tempfile.TemporaryDirectory() as temporary:  # its name is short, as those of sockets have to be
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": temporary}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout
        assert os.listdir(temporary) == []


def _working_in(folder: Path) -> list[int]:
    """Processes whose current folder is below this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found += [int(process.name)] * (process / "cwd").readlink().is_relative_to(folder)
    return found


def _until_all_ways_run(folder: Path) -> None:
    until = time.monotonic() + 100
    while len(_working_in(folder / "temporary")) < 3 and time.monotonic() < until:
        time.sleep(0.1)


@needs_emulator
def test_what_runs_ends_with_the_command_that_is_killed(sleeping: subprocess.Popen[str], tmp_path: Path) -> None:
    _until_all_ways_run(tmp_path)
    working_in, until = tmp_path / "temporary", time.monotonic() + 100
    sleeping.kill()
    while (left := _working_in(working_in)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def test_help(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: diffsynth-port verify [OPTIONS] PATHS... [-- ARGUMENTS...]")
    for words in ("--device", "--memory", "--processes", "--picture", "--format", "Exit status: 0 every script passed"):
        assert words in done.stdout


def test_the_other_commands_do_not_pay_for_it() -> None:
    program = "import sys, porter.cli; print(any(name.startswith('porter.verify') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


def test_nothing_of_torch_is_imported_by_it() -> None:
    program = (
        "import sys\n"
        "import porter.verify.verify_command, porter.verify.verification, porter.verify.report, porter.verify.table\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'diffsynth', 'npu_compat', 'npu_emulator'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
