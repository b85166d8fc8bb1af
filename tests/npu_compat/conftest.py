"""The emulated NPU in this process, and the environment of child processes that find the entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import install_entry_points, no_emulator_here

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"

# Importing the package redirects torch for the whole process; here each test asks for it.
_asked = os.environ.get("NPU_COMPAT")
os.environ["NPU_COMPAT"] = "0"
import torch  # noqa: E402

import npu_compat  # noqa: E402
from npu_compat import activation, host_device  # noqa: E402
from npu_compat.accelerators import host  # noqa: E402
from npu_compat.detection import Detection  # noqa: E402

if _asked is None:
    del os.environ["NPU_COMPAT"]
else:
    os.environ["NPU_COMPAT"] = _asked


@pytest.fixture(autouse=True)
def kept_environment():
    """Activating sets the accelerator's variables; the next test starts without them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def npu():
    """The two emulated NPUs of this process."""
    if reason := no_emulator_here():
        pytest.skip(reason)


@pytest.fixture
def redirect(npu):
    """torch.cuda redirected to the emulated NPU for one test."""
    with npu_compat.redirected() as report:
        yield report
        torch.set_default_device(None)
        torch.cuda.set_device(0)


@pytest.fixture(params=["npu", "cpu"])
def redirect_anywhere(request, monkeypatch):
    """torch.cuda redirected for one test: to the emulated NPU, and to the CPU, which every torch has."""
    if request.param == "npu":
        request.getfixturevalue("npu")
    else:
        found = Detection("cpu", host(host_device.names()), "the test asks for it")
        monkeypatch.setattr(activation, "detect", lambda: found)
    with npu_compat.redirected() as report:
        yield report


@pytest.fixture(scope="session")
def entry_points(tmp_path_factory):
    """A folder that, on PYTHONPATH, gives torch the entry points an installed copy of the project has."""
    return install_entry_points(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def environment(entry_points):
    """Environment of a child process, without anything switched on."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NPU_", "PYTORCH_", "ASCEND_", "CPU_AFFINITY", "CUDA_", "MASTER_", "RANK", "WORLD_"))
    }
    cache = os.environ.get("NPU_EMULATOR_CACHE")
    return {
        **kept,
        **({"NPU_EMULATOR_CACHE": cache} if cache else {}),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(entry_points)]),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def emulated(npu, environment):
    """Environment of a child process that has two emulated NPUs."""
    return {**environment, "NPU_EMULATOR": "1", "NPU_EMULATOR_DEVICES": "2", "NPU_EMULATOR_MEMORY": "8GiB"}


@pytest.fixture
def run_python():
    """Runs Python in a child process and returns the finished process, with its output as text."""

    def run(*arguments: str, env: dict[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)

    return run
