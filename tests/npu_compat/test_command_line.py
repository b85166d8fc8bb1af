"""``python -m npu_compat doctor`` and ``run``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from npu_compat.__main__ import main

SCRIPT = """
import sys, torch
print(torch.zeros(1, device="cuda").device, sys.argv[1:], __name__)
import helper
"""


@pytest.fixture
def script(tmp_path):
    tmp_path.joinpath("helper.py").write_text("print('beside the script')\n")
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


def test_doctor_on_the_emulated_npu(emulated, run_python):
    env = {**emulated, "PYTORCH_CUDA_ALLOC_CONF": "backend:native,max_split_size_mb:64"}
    done = run_python("-m", "npu_compat", "doctor", "--json", env=env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["accelerator"]) == ("accelerator", "npu")
    assert "torch.zeros" in found["redirected"]
    assert "torch.cuda.nvtx.range_push" in found["quiet"]
    assert found["environment"]["PYTORCH_NPU_ALLOC_CONF"] == "max_split_size_mb:64"
    assert any("backend is left out" in note for note in found["environment_changes"])
    assert found["problems"] == []


def test_doctor_says_why_there_is_none_and_what_is_wrong(environment, run_python):
    env = {**environment, "CPU_AFFINITY_CONF": "7"}
    done = run_python("-m", "npu_compat", "doctor", env=env)
    assert done.returncode == 1
    assert "accelerator: none" in done.stdout
    assert "torch_npu is not installed" in done.stdout
    assert "CPU_AFFINITY_CONF=7: expected 0 (off), 1 (coarse) or 2 (fine)" in done.stdout


def test_doctor_on_real_cuda(npu, monkeypatch, capsys):
    from npu_compat import detection, doctor

    monkeypatch.setattr(
        doctor, "detect", lambda: detection.Detection("cuda", None, "torch.cuda is real here (AMD ROCm)")
    )
    main(["doctor"])
    printed = capsys.readouterr().out
    assert "nothing is redirected: torch.cuda is real here" in printed
    assert "redirected: 0 names" in printed


def test_doctor_changes_nothing(npu, capsys):
    import torch

    before = (torch.zeros, torch.device, torch.cuda.is_available)
    main(["doctor"])
    assert (torch.zeros, torch.device, torch.cuda.is_available) == before
    assert "raises UnsupportedOnAccelerator: torch.cuda" in capsys.readouterr().out


def test_an_error_is_shown_as_without_the_command(environment, run_python, tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(
        "def f():\n    return {}['key']\n\ntry:\n    f()\nexcept KeyError:\n    raise ValueError(1) from None\n"
    )
    without = run_python(script, env=environment).stderr
    assert "ValueError: 1" in without
    assert run_python("-m", "npu_compat", "run", script, env=environment).stderr == without
    emulated = run_python("-m", "npu_compat", "run", "--emulate", script, env=environment)
    assert (emulated.stderr, emulated.returncode) == (without, 1)


def test_run(emulated, run_python, script):
    done = run_python("-m", "npu_compat", "run", script, "--steps", "3", env=emulated)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["npu:0 ['--steps', '3'] __main__", "beside the script"]


def test_run_emulated(npu, environment, run_python, script):
    done = run_python("-m", "npu_compat", "run", "--emulate", script, "--steps", "3", env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["npu:0 ['--steps', '3'] __main__", "beside the script"]


def test_the_emulated_devices_are_those_that_cuda_would_show(npu, environment, run_python, tmp_path):
    script = tmp_path / "count.py"
    script.write_text("import torch\nprint(torch.cuda.device_count(), torch.npu.device_count())\n")
    visible = {**environment, "NPU_EMULATOR_DEVICES": "2", "CUDA_VISIBLE_DEVICES": "1"}
    done = run_python("-m", "npu_compat", "run", "--emulate", script, env=visible)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.parametrize("emulate", [False, True])
def test_run_a_module(environment, emulated, run_python, tmp_path, emulate):
    tmp_path.joinpath("a_module.py").write_text(
        "import sys, torch\nprint(torch.zeros(1).cuda().device, sys.argv[1:])\n"
    )
    command = ["run", *(["--emulate"] if emulate else []), "-m", "a_module", "--steps", "3"]
    base = environment if emulate else emulated
    found = os.pathsep.join([str(tmp_path), base.get("PYTHONPATH", "")])
    done = run_python("-m", "npu_compat", *command, env={**base, "PYTHONPATH": found})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["npu:0 ['--steps', '3']"]


def test_run_ends_as_its_program_does(environment, emulated, run_python, tmp_path):
    file = tmp_path / "ends.py"
    file.write_text("import sys\nsys.exit(5)\n")
    assert run_python("-m", "npu_compat", "run", file, env=emulated).returncode == 5
    assert run_python("-m", "npu_compat", "run", "--emulate", file, env=environment).returncode == 5
    file.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert run_python("-m", "npu_compat", "run", "--emulate", file, env=environment).returncode == -signal.SIGKILL


def _hear_interrupts() -> None:
    """What a shell has put in the background ignores them, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_is_the_programs_own(npu, environment, tmp_path):
    """Ctrl-C goes to the whole process group; one traceback is shown, which begins in the script."""
    script = tmp_path / "slow.py"
    script.write_text("import time\nprint('started', flush=True)\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "npu_compat", "run", "--emulate", str(script)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=_hear_interrupts,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "started\n"
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=100)
    assert error.startswith(f'Traceback (most recent call last):\n  File "{script}", line ')
    assert error.count("Traceback") == error.count("KeyboardInterrupt") == 1
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "name a script"),
        (["run", "-m"], "name a script, or -m and a module"),
        (["run", "no_such_file.py"], "no_such_file.py: no such file; expected a Python script"),
        (["run", "/"], "/: is a folder; expected a Python script"),
    ],
)
def test_bad_input(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_commands_are_named_where_there_is_none(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "name a command: doctor or run" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run", "--emulat", __file__], ["doctor", "--js"]])
def test_no_option_is_guessed(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert f"unrecognized arguments: {arguments[1]}" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["doctor"], ["doctor", "--json"], ["run", __file__]])
def test_without_torch(environment, run_python, command):
    """The base installation has none: -S leaves out what is installed."""
    done = run_python("-S", "-m", "npu_compat", *command, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"npu_compat: {command[0]} needs torch, which is not installed here: install torch")
    assert len(done.stderr.splitlines()) == 1
    assert run_python("-S", "-m", "npu_compat", "--help", env=environment).returncode == 0
    assert "No module named 'torch'" in run_python("-S", "-c", "import npu_compat", env=environment).stderr


@pytest.mark.parametrize("command", [["doctor"], ["run", __file__]])
def test_bad_environment(environment, run_python, command):
    done = run_python("-m", "npu_compat", *command, env={**environment, "NPU_COMPAT_FALLBACK": "gpu"})
    assert done.returncode == 2
    assert "NPU_COMPAT_FALLBACK='gpu': expected cpu" in done.stderr
    assert "Traceback" not in done.stderr
