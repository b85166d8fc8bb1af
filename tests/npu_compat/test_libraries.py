"""Third parties unchanged, written for cuda: equal to the CPU. Slow: ``pytest -m slow tests/npu_compat``."""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent / "programs" / "libraries_on_cuda.py"
NEEDS = {"generate": "transformers", "trainer": "accelerate", "lora": "peft", "diffusion": "diffusers"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("part", NEEDS)
def test_equal_to_the_cpu(emulated, run_python, part):
    pytest.importorskip("transformers")
    pytest.importorskip(NEEDS[part])
    done = run_python("-m", "npu_compat", "run", PROGRAM, part, env=emulated, timeout=500)
    assert done.returncode == 0, done.stderr


def test_accelerate_launch(emulated, run_python):
    pytest.importorskip("accelerate")
    launch = ("-m", "accelerate.commands.launch", "--num_processes", "2", "--mixed_precision", "bf16")
    done = run_python(*launch, PROGRAM, "launched", env={**emulated, "NPU_COMPAT": "1"}, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "kind MULTI_NPU hccl" in done.stdout
