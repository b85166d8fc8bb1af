"""Third parties unchanged, written for cuda: equal to the CPU. Slow: ``pytest -m slow tests/npu_compat``."""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent / "programs" / "libraries_on_cuda.py"
LIGHTNING = PROGRAM.with_name("lightning_on_cuda.py")
NEEDS = {"generate": "transformers", "trainer": "accelerate", "lora": "peft", "diffusion": "diffusers"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("part", NEEDS)
def test_equal_to_the_cpu(emulated, run_python, part):
    pytest.importorskip("transformers")
    pytest.importorskip(NEEDS[part])
    done = run_python("-m", "npu_compat", "run", PROGRAM, part, env=emulated, timeout=500)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("accelerator", ["gpu", "auto"])
def test_lightning_trains_on_the_accelerator(emulated, run_python, accelerator):
    pytest.importorskip("lightning", minversion="2.6")
    done = run_python("-m", "npu_compat", "run", LIGHTNING, accelerator, env=emulated, timeout=500)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "on npu:0 through hccl"


def test_what_looks_for_bitsandbytes_imports(emulated, run_python):
    """peft and transformers import it where it is installed and torch.cuda is available."""
    pytest.importorskip("bitsandbytes", minversion="0.50")
    program = "import npu_compat, peft\nfrom transformers import Trainer\nimport bitsandbytes.backends.cuda.ops"
    done = run_python("-c", program, env=emulated, timeout=500)
    assert done.returncode == 0, done.stderr


def test_accelerate_launch(emulated, run_python):
    pytest.importorskip("accelerate")
    launch = ("-m", "accelerate.commands.launch", "--num_processes", "2", "--mixed_precision", "bf16")
    done = run_python(*launch, PROGRAM, "launched", env={**emulated, "NPU_COMPAT": "1"}, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "kind MULTI_NPU hccl" in done.stdout
