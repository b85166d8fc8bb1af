"""The emulated NPU for these tests, as it was at the start for each, and programs run on one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.machine import no_emulator_here

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """Device 0 current, seeds and peaks as at the start."""
    if reason := no_emulator_here():
        pytest.skip(reason)
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
