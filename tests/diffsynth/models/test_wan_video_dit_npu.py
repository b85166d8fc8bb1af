"""The Wan DiT on the emulated NPU, which refuses float64 and complex numbers: the CPU's numbers, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import needs_emulator

REPOSITORY = Path(__file__).parents[3]

PROGRAM = """
import sys
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from diffsynth.models.wan_video_dit import TextCache, WanModel

REFUSED = {torch.float64, torch.complex64, torch.complex128}


class OnDevice(TorchDispatchMode):
    "Counts operators that take or give npu tensors, and notes those of a type that the hardware refuses."

    def __init__(self):
        super().__init__()
        self.count, self.to_host, self.refused, self.on_host = 0, 0, [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, output)) if isinstance(leaf, torch.Tensor)]
        on_npu = [tensor for tensor in tensors if tensor.device.type == "npu"]
        self.count += bool(on_npu)
        self.to_host += bool(on_npu) and tree_leaves(output)[0].device.type == "cpu"
        self.refused += [str(func) for tensor in on_npu if tensor.dtype in REFUSED]
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm) and not on_npu:
            self.on_host.append(str(func))
        return output


dtype = getattr(torch, sys.argv[1])
torch.manual_seed(0)
model = WanModel(dim=256, ffn_dim=96, num_heads=2, num_layers=2, text_dim=24).eval().requires_grad_(False).to(dtype)
latents, context = torch.randn(2, 16, 3, 6, 6), torch.randn(2, 7, 24).to(dtype)
timestep = torch.tensor([833.333, 10.0])
expected = model(latents, timestep, context)

model.to("npu")
given = [tensor.to("npu") for tensor in (latents, timestep, context)]
cache = TextCache()
with OnDevice() as seen:
    found = [model(*given, text_cache=cache) for _ in range(2)]
assert not seen.refused and not seen.on_host, (seen.refused, seen.on_host)
assert seen.count > 100 and not seen.to_host, (seen.count, seen.to_host)
assert all(one.device.type == "npu" and torch.equal(one.cpu(), expected) for one in found)

model.requires_grad_(True)
with OnDevice() as seen:
    loss = model(*given, use_gradient_checkpointing_offload=True).square().mean()
assert seen.to_host >= len(model.blocks), seen.to_host
loss.backward()
on_npu = {name: parameter.grad.cpu() for name, parameter in model.named_parameters()}
model.zero_grad()
model.cpu()
model(latents, timestep, context).square().mean().backward()
assert all(torch.equal(parameter.grad, on_npu[name]) for name, parameter in model.named_parameters())

if dtype == torch.float32:
    with torch.no_grad():
        model.to("npu")
        for block in model.blocks:
            block.compile(backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(model(*given).cpu(), expected, rtol=0, atol=2e-6)
print("equal")
"""


@needs_emulator
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_the_emulated_npu_gives_the_numbers_of_the_cpu(dtype, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NPU_EMULATOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "npu_emulator", "run", str(program), dtype],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["equal"]
