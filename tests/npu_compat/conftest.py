"""The emulated NPU in this process, and the environment of child processes that find the entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"

# Importing the package redirects torch for the whole process; here each test asks for it.
_asked = os.environ.get("NPU_COMPAT")
os.environ["NPU_COMPAT"] = "0"
import torch  # noqa: E402

import npu_compat  # noqa: E402

if _asked is None:
    del os.environ["NPU_COMPAT"]
else:
    os.environ["NPU_COMPAT"] = _asked


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; run with -m slow")


def pytest_collection_modifyitems(config, items):
    if "slow" not in config.getoption("markexpr"):
        for item in items:
            if item.get_closest_marker("slow") and item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with -m slow"))


@pytest.fixture(autouse=True)
def kept_environment():
    """Activating sets the accelerator's variables; the next test starts without them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def npu():
    """Two emulated NPUs in this process; the variables that would give them to every child are taken back."""
    import npu_emulator

    before = set(os.environ)
    try:
        npu_emulator.enable(devices=2, memory="8GiB", hardware="atlas-a2", strict=True)
    except (npu_emulator.UnsupportedHost, npu_emulator.BuildError) as error:
        pytest.skip(f"no emulated NPU here: {error}")
    for name in set(os.environ) - before:
        del os.environ[name]


@pytest.fixture
def redirect(npu):
    """torch.cuda redirected to the emulated NPU for one test."""
    with npu_compat.redirected() as report:
        yield report
        torch.set_default_device(None)
        torch.cuda.set_device(0)


@pytest.fixture(scope="session")
def entry_points(tmp_path_factory):
    """A folder that, on PYTHONPATH, gives torch the entry points an installed copy of the project has."""
    folder = tmp_path_factory.mktemp("installed")
    info = folder / "entry_points_of_the_project-0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: entry_points_of_the_project\nVersion: 0\n")
    lines = [f"{name} = accelerator_autoload:{name}" for name in ("npu_compat", "npu_emulator")]
    info.joinpath("entry_points.txt").write_text("\n".join(["[torch.backends]", *lines, ""]))
    return folder


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
