"""Runs one program in several processes, as torchrun starts them, each on a device of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.machine import no_emulator_here

ROOT = Path(__file__).resolve().parents[2]


class Rank(NamedTuple):
    """How one process ended."""

    returncode: int
    stdout: str
    stderr: str


def start_ranks(machine: str, program: str, count: int, folder: Path, **environment: str) -> list[subprocess.Popen]:
    """The processes of a program, on the CPU or on as many emulated NPUs ("npu")."""
    if machine == "npu" and (reason := no_emulator_here()):
        pytest.skip(reason)
    script = folder / "program.py"
    script.write_text(textwrap.dedent(program), encoding="utf-8")
    emulated = ["-m", "npu_emulator", "run", "--devices", str(count), "--memory", "8GiB"] if machine == "npu" else []
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NPU_EMULATOR_D", "CUDA_"))}
    shared = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        **environment,
    }
    return [
        subprocess.Popen(
            [sys.executable, *emulated, str(script)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def ended(processes: list[subprocess.Popen], timeout: float = 300) -> list[Rank]:
    """Waits for all; whatever still runs after the timeout is ended, which is a failure."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Rank(process.returncode, *words) for process, words in zip(processes, said, strict=True)]


def run_ranks(machine: str, program: str, count: int, folder: Path, **environment: str) -> list[str]:
    """What each process printed; all have to end well."""
    ranks = ended(start_ranks(machine, program, count, folder, **environment))
    for number, rank in enumerate(ranks):
        assert rank.returncode == 0, f"rank {number}:\n{rank.stderr[-4000:]}"
    return [rank.stdout for rank in ranks]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
