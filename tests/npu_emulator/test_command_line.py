"""python -m npu_emulator run, and the environment."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_emulator.__main__ import main

from .conftest import REPOSITORY

Run = Callable[..., "subprocess.CompletedProcess[str]"]
NO_BACKEND = {"CXX": "no-such-compiler", "NPU_EMULATOR_PREBUILT": "0"}


def test_run_gives_a_script_its_npu_and_its_arguments(run: Run) -> None:
    code = """
        import os, sys, torch
        print(sys.argv[1:], torch.npu.device_count(), torch.npu.mem_get_info()[1], torch.ones(2).npu().sum().item())
        print(os.environ["NPU_EMULATOR"], os.environ["NPU_EMULATOR_DEVICES"])
    """
    result = run(code, "--lr", "3", options=("--memory", "1GiB", "--devices", "3", "--hardware", "atlas-a3"))
    assert result.stdout.splitlines() == ["['--lr', '3'] 3 1073741824 2.0", "1 3"], result.stderr


def test_exit_status_of_the_program_is_kept(run: Run) -> None:
    assert run("import sys; sys.exit(7)").returncode == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--memory", "lots"), "memory='lots': expected an amount of memory"),
        (("--devices", "0"), "devices='0': expected a number of devices from 1 to 16"),
        (("--hardware", "h100"), "hardware='h100': expected one of atlas-a2"),
        (("missing.py",), "missing.py: no such file"),
        (("/",), "/: is a folder; expected a Python script"),
        (("--dev", "2"), "unrecognized arguments: --dev"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run: Run, options: tuple[str, ...], message: str) -> None:
    result = run("print('ran')", options=options)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_importing_does_nothing(run: Run) -> None:
    code = """
        import sys, npu_emulator
        print("torch" in sys.modules)
        import torch
        print(hasattr(torch, "npu"), torch._C._get_privateuse1_backend_name())
    """
    assert run(code, options=None).stdout.split() == ["False", "False", "privateuseone"]


def test_enabling_twice(run: Run) -> None:
    code = """
        import npu_emulator
        npu_emulator.enable(devices=2)
        npu_emulator.enable(devices=2)
        try:
            npu_emulator.enable(devices=3)
        except npu_emulator.EmulatorError as error:
            print(error)
    """
    assert "enabled already with Settings(devices=2" in run(code, options=None).stdout


@pytest.mark.parametrize(("value", "expected"), [("1", "True"), ("0", "False")])
def test_environment_switch(run: Run, value: str, expected: str) -> None:
    # What the entry point of torch.backends does at the end of `import torch`.
    code = "import torch, accelerator_autoload; accelerator_autoload.npu_emulator(); print(hasattr(torch, 'npu'))"
    assert run(code, options=None, NPU_EMULATOR=value).stdout.strip() == expected


def test_environment_switch_refuses_other_values(run: Run) -> None:
    code = "import accelerator_autoload; accelerator_autoload.npu_emulator()"
    assert "NPU_EMULATOR='yes': expected 0 or 1" in run(code, options=None, NPU_EMULATOR="yes").stderr


@pytest.mark.parametrize("call", ["torch.ones(2, device='cuda')", "torch.cuda.set_device(0)"])
def test_a_program_for_cuda_is_told_what_to_do(run: Run, call: str) -> None:
    """Its error is shown as Python shows it without the command; only then comes the hint, which can be pasted."""
    code = f"import sys, torch\n\ndef f():\n    del sys.argv[1:]\n    {call}\n\nf()\n"
    done, without = run(code, "--name", "a b", options=("--devices", "1")), run(code, options=None)
    error, hint = done.stderr.rsplit("npu_emulator: ", 1)
    assert (error, done.returncode) == (without.stderr, 1)
    script = re.findall(r'File "(.+)", line 7', error)[0]
    assert f"python -m npu_compat run --emulate {script} --name 'a b';" in hint
    assert f"diffsynth-port {script} --target npu" in hint


def test_a_module_for_cuda_is_told_what_to_do(run: Run, tmp_path: Path) -> None:
    module = tmp_path / "for_cuda.py"
    module.write_text("import torch\ntorch.ones(2).cuda()\n")
    error = run("", options=("-m", "for_cuda"), PYTHONPATH=f"{REPOSITORY}{os.pathsep}{tmp_path}").stderr
    assert "python -m npu_compat run --emulate -m for_cuda" in error
    assert f"diffsynth-port {module} --target npu" in error


def test_help_shows_how_a_report_gets_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--help"])
    usage, _, options = capsys.readouterr().out.partition("options:")
    assert "[--report[=FILE]]" in usage
    assert "\n  --report[=FILE]" in options


def test_a_report_whose_file_is_a_word_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--report", "r.json", __file__]) == 2
    error = "r.json: no such file; expected a Python script (to write the report there: --report=r.json)\n"
    assert capsys.readouterr().err.endswith(error)


def test_the_commands_are_named_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "name a command: doctor or run" in capsys.readouterr().err


def test_hidden_devices(run: Run) -> None:
    code = "import torch; print(torch.npu.device_count(), torch.npu.is_available())"
    assert run(code, options=("--devices", "2"), ASCEND_RT_VISIBLE_DEVICES="1").stdout.split() == ["1", "True"]
    assert run(code, options=("--devices", "2"), ASCEND_RT_VISIBLE_DEVICES="").stdout.split() == ["0", "False"]


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "riscv64")])
def test_other_machines_get_a_clear_no(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    from npu_emulator import host
    from npu_emulator.errors import UnsupportedHost

    monkeypatch.setattr(host.platform, "system", lambda: system)
    monkeypatch.setattr(host.platform, "machine", lambda: machine)
    with pytest.raises(UnsupportedHost, match=f"this is {system} on {machine}"):
        host.check_host()


def test_an_older_torch_gets_a_clear_no(monkeypatch: pytest.MonkeyPatch) -> None:
    from npu_emulator import host
    from npu_emulator.errors import UnsupportedHost

    monkeypatch.setattr(host.importlib.metadata, "version", lambda name: "2.6.0+cu124")
    with pytest.raises(UnsupportedHost, match=r"torch 2\.7 and later, and this is torch 2\.6\.0"):
        host.check_host()


def test_never_beside_a_real_npu(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from npu_emulator import host
    from npu_emulator.errors import UnsupportedHost

    (tmp_path / "davinci0").touch()  # type: ignore[operator]
    monkeypatch.setattr(host, "REAL_NPU", f"{tmp_path}/davinci[0-9]*")
    with pytest.raises(UnsupportedHost, match="never runs beside a real NPU"):
        host.check_host()


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """PYTHONPATH with what installing leaves for torch to find: the lines of pyproject.toml under torch.backends."""
    project = (REPOSITORY / "pyproject.toml").read_text()
    lines = project.partition('[project.entry-points."torch.backends"]')[2].partition("\n[")[0].replace('"', "").strip()
    info = tmp_path / "site" / "diffsynth_port-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: diffsynth-port\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[torch.backends]\n{lines}\n")
    return f"{REPOSITORY}{os.pathsep}{info.parent}"


def test_entry_point_reaches_programs_that_say_nothing(run: Run, installed: str) -> None:
    code = """
        import multiprocessing, torch
        def child(pipe):
            pipe.send((torch.npu.device_count(), torch.ones(2).npu().sum().item()))
        if __name__ == "__main__":
            mine, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(target=child, args=(theirs,))
            process.start()
            print(torch.npu.device_count(), mine.recv())
            process.join()
    """
    result = run(code, options=None, NPU_EMULATOR="1", NPU_EMULATOR_DEVICES="2", PYTHONPATH=installed)
    assert result.stdout == "2 (2, 2.0)\n", result.stderr


@pytest.mark.parametrize("switch", ["", "0", "1"])
def test_the_command_line_counts_where_the_entry_point_is_installed(run: Run, installed: str, switch: str) -> None:
    code = "import npu_emulator, torch; print(npu_emulator.enabled_with().memory, torch.npu.device_count())"
    options = ("--devices", "3", "--memory", "1GiB")
    result = run(code, options=options, NPU_EMULATOR=switch, NPU_EMULATOR_DEVICES="2", PYTHONPATH=installed)
    assert result.stdout == f"{2**30} 3\n", result.stderr


def test_enabling_while_another_thread_imports_torch(run: Run, installed: str) -> None:
    code = """
        import importlib, threading, npu_emulator
        threads = [
            threading.Thread(target=importlib.import_module, args=("torch",)),
            threading.Thread(target=npu_emulator.enable),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(npu_emulator.enabled_with().devices)
    """
    environment = {"NPU_EMULATOR": "1", "NPU_EMULATOR_DEVICES": "2", "PYTHONPATH": installed}
    assert run(code, options=None, **environment).stdout == "2\n"


def test_a_failure_within_the_entry_point_is_still_one_line(run: Run, installed: str, tmp_path: Path) -> None:
    environment = {**NO_BACKEND, "NPU_EMULATOR_CACHE": str(tmp_path / "empty"), "PYTHONPATH": installed}
    result = run("print('ran')", NPU_EMULATOR="1", **environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("npu_emulator: ")
    assert "CXX=no-such-compiler was not found" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_failure_leaves_the_environment_as_it_was(run: Run, tmp_path: Path) -> None:
    code = """
        import os, npu_emulator
        try:
            npu_emulator.enable(devices=2)
        except npu_emulator.BuildError:
            print(sorted(name for name in os.environ if name.startswith("NPU_EMULATOR")))
    """
    environment = {**NO_BACKEND, "NPU_EMULATOR_CACHE": str(tmp_path / "empty")}
    assert run(code, options=None, **environment).stdout == "['NPU_EMULATOR_CACHE', 'NPU_EMULATOR_PREBUILT']\n"
