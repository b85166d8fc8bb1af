"""Machines to run a program on: child processes with the environment of each."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machine import install_entry_points, no_emulator_here

ROOT = Path(__file__).resolve().parents[2]
MACHINES = {
    "cpu": {},
    "npu": {"NPU_EMULATOR": "1", "NPU_EMULATOR_DEVICES": "2", "NPU_EMULATOR_MEMORY": "8GiB"},
    "redirected": {"NPU_EMULATOR": "1", "NPU_EMULATOR_DEVICES": "2", "NPU_COMPAT": "1"},
    "fallback": {"NPU_COMPAT": "1", "NPU_COMPAT_FALLBACK": "cpu"},
}


@pytest.fixture(autouse=True)
def diffusers_is_the_oracle(diffusers_as_without_torch_npu: None) -> None:
    """In every test here."""


@pytest.fixture(scope="session")
def environment_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """``environment_of(machine)``: what a process is started with to run on a CPU, on two emulated NPUs, on those
    with CUDA redirected to them, or with CUDA redirected to the CPU."""
    entry_points = install_entry_points(tmp_path_factory.mktemp("installed"))

    def environment(machine: str) -> dict[str, str]:
        if "NPU_EMULATOR" in MACHINES[machine] and (reason := no_emulator_here()):
            pytest.skip(reason)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPU_", "ASCEND_", "CUDA_"))}
        cache = os.environ.get("NPU_EMULATOR_CACHE")
        return {
            **kept,
            **({"NPU_EMULATOR_CACHE": cache} if cache else {}),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(entry_points)]),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
            **MACHINES[machine],
        }

    return environment


@pytest.fixture(scope="session")
def run_on(environment_of: Callable[[str], dict[str, str]]) -> Callable[..., str]:
    """``run_on(machine, program, **environment)``: what the program prints on one of the `MACHINES`."""

    def run(machine: str, program: str, **environment: str) -> str:
        env = {**environment_of(machine), **environment}
        command = [sys.executable, "-c", textwrap.dedent(program)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
