"""Child processes: spawned, forked, DataLoader workers, and scripts that never name npu_compat."""

from __future__ import annotations

import pytest

SPAWNED = """
import multiprocessing, sys
import torch
from torch.utils.data import DataLoader

def on_cuda(queue):
    import torch
    queue.put(str(torch.zeros(1, device="cuda:1").device))

def collate(rows):
    return str(torch.device("cuda")), torch.stack(rows)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=on_cuda, args=(queue,))
    worker.start()
    print(queue.get(timeout=100))
    worker.join()
    workers = {"num_workers": 1, "multiprocessing_context": sys.argv[1]}
    loader = DataLoader([torch.ones(2)] * 4, batch_size=2, collate_fn=collate, **workers)
    print([device for device, _ in loader])
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_program_that_was_run(emulated, run_python, tmp_path, method):
    file = tmp_path / "program.py"
    file.write_text(SPAWNED)
    done = run_python("-m", "npu_compat", "run", file, method, env=emulated)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["npu:1", "['npu', 'npu']"]


def test_the_entry_point(emulated, run_python):
    program = "import torch; print(torch.ones(1).cuda().device, torch.cuda.is_available())"
    done = run_python("-c", program, env={**emulated, "NPU_COMPAT": "1"})
    assert done.stdout.split() == ["npu:0", "True"], done.stderr
    done = run_python("-c", "import torch; print(torch.cuda.is_available())", env={**emulated, "NPU_COMPAT": "0"})
    assert done.stdout.split() == ["False"], done.stderr
    done = run_python("-c", "import torch", env={**emulated, "NPU_COMPAT": "yes"})
    assert "NPU_COMPAT='yes': expected 0 or 1" in done.stderr


@pytest.mark.parametrize("order", ["import npu_compat\nimport torch", "import torch\nimport npu_compat"])
def test_before_or_after_torch(emulated, run_python, order):
    program = f"{order}\nprint(torch.zeros(1, device='cuda').device, npu_compat.report().active)\n"
    program += "npu_compat.deactivate()\nprint(torch.device('cuda'))"
    done = run_python("-c", program, env={**emulated, "NPU_COMPAT": "1"})
    assert done.stdout.split() == ["npu:0", "True", "cuda"], done.stderr


def test_children_are_only_redirected_while_the_parent_is(emulated, run_python):
    program = """
import os, npu_compat
assert os.environ["NPU_COMPAT"] == "1"
npu_compat.deactivate()
assert "NPU_COMPAT" not in os.environ
"""
    done = run_python("-c", program, env=emulated)
    assert done.returncode == 0, done.stderr
