"""The emulated NPU for these tests: two devices, 8 GiB each, as strict as the hardware."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import npu_emulator

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    reason = missing_here()
    if reason:
        for item in items:
            if str(item.path).startswith(here):
                item.add_marker(pytest.mark.skip(reason=reason))


def missing_here() -> str:
    if platform.system() != "Linux":
        return "the emulated NPU runs on Linux"
    return "" if shutil.which(os.environ.get("CXX", "g++")) else "the emulated NPU needs a C++ compiler"


@pytest.fixture(scope="session", autouse=True)
def emulated_npu() -> Iterator[None]:
    """Enables it once; the variables it sets for child processes are taken back, so that other tests see none."""
    before = dict(os.environ)
    npu_emulator.enable(devices=2, memory="8GiB", hardware="atlas-a2", strict=True)
    for name in set(os.environ) - set(before):
        del os.environ[name]
    yield
    assert not set(os.environ) & {"NPU_EMULATOR"}


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """Device 0 current, seeds and peaks as at the start."""
    import torch

    torch.manual_seed(0)
    torch.npu.set_device(0)
    for device in range(torch.npu.device_count()):
        torch.npu.reset_peak_memory_stats(device)
    yield
    torch.npu.set_device(0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program in a new process: ``run(code, *arguments, options=(...), **environment)``."""

    def run_program(
        code: str, *arguments: str, options: tuple[str, ...] | None = (), timeout: int = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(code))
        launcher = [] if options is None else ["-m", "npu_emulator", "run", *options]
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
        return subprocess.run(
            [sys.executable, *launcher, str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            check=False,
        )

    return run_program
