"""The process group hccl, over two processes: every collective, DDP, FSDP, distributed checkpoints."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import REPOSITORY

PROGRAMS = Path(__file__).parent / "two_processes"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run_twice(program: str, tmp_path: Path) -> list[str]:
    """Runs a program as ranks 0 and 1, each on a device of its own; returns what they printed."""
    import os

    env = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "SCRATCH": str(tmp_path),
    }
    command = [sys.executable, "-m", "npu_emulator", "run", "--devices", "2", "--memory", "2GiB"]
    ranks = [
        subprocess.Popen(
            [*command, str(PROGRAMS / program)],
            env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = []
    for rank in ranks:
        out, err = rank.communicate(timeout=150)
        assert rank.returncode == 0, err[-3000:]
        outputs.append(out)
    return outputs


@pytest.mark.parametrize("program", ["collectives.py", "data_parallel.py", "random_dtensors.py"])
def test_two_processes(program: str, tmp_path: Path) -> None:
    outputs = run_twice(program, tmp_path)
    assert [output.splitlines()[-1] for output in outputs] == ["rank 0 done", "rank 1 done"]


ENDS = """
import os, sys
from pathlib import Path
import torch, torch.distributed as dist

def threads():
    return sum("gloo" in path.read_text() for path in Path("/proc/self/task").glob("*/comm"))

dist.init_process_group("hccl", store=dist.HashStore(), rank=0, world_size=1)
kept = dist.group.WORLD
dist.all_reduce(torch.ones(2, device="npu"))
print(threads() > 0)
dist.destroy_process_group()
print(threads())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted by /proc")
def test_the_threads_of_a_group_end_with_it() -> None:
    """One that lives on may let go of a tensor while Python ends, and the process then ends by a signal."""
    command = [sys.executable, "-c", f"import npu_emulator; npu_emulator.enable()\n{ENDS}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=150, check=False)
    assert (done.stdout.split(), done.returncode) == (["True", "0"], 0), done.stderr[-3000:]
