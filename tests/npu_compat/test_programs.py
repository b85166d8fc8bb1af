"""Two programs written for CUDA, unchanged: with the redirect they give the CPU's numbers, without it they fail."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

PROGRAMS = Path(__file__).resolve().parent / "programs"
HOST = """
import os
import torch  # which asks first whether there is a fork
del os.register_at_fork
del os.sysconf_names["SC_AVPHYS_PAGES"]
import npu_compat
free, total = torch.cuda.mem_get_info()
assert free == total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
assert torch.empty(2, pin_memory=True, device="cuda").device.type == "cpu"
"""
TRAIN, INFER = PROGRAMS / "train_on_cuda.py", PROGRAMS / "infer_on_cuda.py"


def imported(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trained_on_the_cpu(steps):
    """The training run in one process on the CPU: the gradient of both ranks' halves, averaged."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    features, target = imported(TRAIN).dataset().tensors
    for step in range(steps):
        optimizer.zero_grad()
        for rank in range(2):
            rows = range(rank + step * 8, rank + step * 8 + 8, 2)
            with torch.autocast("cpu", torch.float16):
                result = model(features[list(rows)])
            (nn.functional.mse_loss(result.float(), target[list(rows)]) * 256 / 2).backward()
        for parameter in model.parameters():
            parameter.grad /= 256
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.state_dict()


def test_training_with_checkpoint_and_resume(emulated, run_python, tmp_path):
    done = run_python("-m", "npu_compat", "run", TRAIN, str(tmp_path), env=emulated)
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / "checkpoint.pt", map_location="cpu")
    expected = trained_on_the_cpu(4)
    for name, value in expected.items():
        torch.testing.assert_close(state["model"][f"module.{name}"], value, rtol=1e-5, atol=1e-6)


def test_inference(emulated, run_python, tmp_path):
    done = run_python("-m", "npu_compat", "run", INFER, str(tmp_path / "results.pt"), env=emulated)
    assert done.returncode == 0, done.stderr
    saved = torch.load(tmp_path / "results.pt", map_location="cpu")
    program = imported(INFER)
    with torch.inference_mode():
        expected = torch.stack([program.build()(batch) for batch in program.batches()])
    torch.testing.assert_close(saved["results"], expected)
    assert saved["noise_device"]


@pytest.mark.parametrize("program", [TRAIN, INFER])
def test_without_the_redirect_they_fail(emulated, run_python, tmp_path, program):
    done = run_python(program, str(tmp_path / "out"), env=emulated)
    assert done.returncode != 0


def test_a_host_that_is_not_linux(environment, run_python, tmp_path):
    """Windows has no fork, and macOS does not tell how much memory is free."""
    file = tmp_path / "host.py"
    file.write_text(HOST)
    done = run_python(file, env={**environment, "NPU_COMPAT_FALLBACK": "cpu"})
    assert done.returncode == 0, done.stderr


def test_numbers_of_devices_and_submodules_on_the_cpu_where_that_is_asked_for(environment, run_python, tmp_path):
    """A module's `to` reads its arguments in C++, where a number is a device of torch's own accelerator."""
    file = tmp_path / "numbered.py"
    file.write_text(
        "import torch, npu_compat\n"
        "layer = torch.nn.Linear(2, 2).to(0)\n"
        "layer = layer.to(device=0, dtype=torch.bfloat16)\n"
        "assert layer.weight.device.type == 'cpu' and layer.weight.dtype == torch.bfloat16\n"
        "torch.cuda.random.set_rng_state_all(torch.cuda.random.get_rng_state_all())\n"
        "assert torch.cuda.memory.max_memory_allocated() == 0\n"
    )
    done = run_python(file, env={**environment, "NPU_COMPAT_FALLBACK": "cpu"})
    assert done.returncode == 0, done.stderr


def test_inference_on_the_cpu_where_that_is_asked_for(environment, run_python, tmp_path):
    fallback = {**environment, "NPU_COMPAT_FALLBACK": "cpu"}
    done = run_python("-m", "npu_compat", "run", INFER, str(tmp_path / "results.pt"), env=fallback)
    assert done.returncode == 0, done.stderr
    program = imported(INFER)
    with torch.inference_mode():
        expected = torch.stack([program.build()(batch) for batch in program.batches()])
    torch.testing.assert_close(torch.load(tmp_path / "results.pt")["results"], expected)


AMP = """
import npu_compat, torch
layer = torch.nn.Linear(4, 4).cuda()
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
scaler = torch.cuda.amp.GradScaler(init_scale=8.0)
with torch.cuda.amp.autocast(dtype=torch.bfloat16):
    loss = layer(torch.ones(2, 4).cuda()).float().square().mean()
scaler.scale(loss).backward()
scaler.step(optimizer)
scaler.update()
print(loss.device.type, scaler.get_scale())
"""


def test_mixed_precision_by_its_old_names_on_the_cpu(environment, run_python, tmp_path):
    file = tmp_path / "amp.py"
    file.write_text(AMP)
    done = run_python(file, env={**environment, "NPU_COMPAT_FALLBACK": "cpu"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cpu 8.0\n"
