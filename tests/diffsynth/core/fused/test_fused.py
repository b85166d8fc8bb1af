"""Whoever computes the fused operators: torch's numbers in float64, and its gradients, within the bounds they state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diffsynth.core import fused as choice
from diffsynth.core.fused import VARIABLE, FusedOperatorsError, fused_operators, gelu_of_linear

ROOT = Path(__file__).resolve().parents[4]

# Prints, for each operator and type, the largest difference from float64 over the largest value: of the result, and of
# each gradient.
COMPARED = """
import json, sys
import torch
from diffsynth.core.fused import (
    added_rms_normed, fused_operators, gated, modulated, normed_and_activated, normed_and_rotated, rms_normed, swiglu)
from diffsynth.models.rotary import AxisTables

device = sys.argv[1]
BATCH, LENGTH = 2, 5
torch.manual_seed(0)
cos, sin = AxisTables([16]).grid([range(LENGTH)], torch.device("cpu"))

def norm(tokens):
    return (tokens - tokens.mean(-1, keepdim=True)) / (tokens.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()

def turned(heads):
    even, odd = heads[..., ::2], heads[..., 1::2]
    c, s = cos[..., ::2].double(), sin[..., ::2].double()
    return torch.stack([even * c - odd * s, odd * c + even * s], -1).flatten(-2)

def rms(tokens, weight):
    return tokens / (tokens.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight

width = 48
shapes = {"tokens": (BATCH, LENGTH, width), "update": (BATCH, LENGTH, width), "row": (BATCH, 6, width)}
def exact_of_head(tokens, weight):
    return turned(rms(tokens.unflatten(-1, (-1, 16)), weight))
def exact_of_all(tokens, weight):
    return turned(rms(tokens, weight).unflatten(-1, (-1, 16)))
def rotary(tokens, weight):
    return normed_and_rotated(tokens, weight, 1e-6, 16, cos.to(device), sin.to(device))
cases = {
    "modulated": (lambda t, b, a: modulated(t, b[:, 1], a[:, 2], 1e-6),
                  lambda t, b, a: norm(t) * (1 + a[:, 2:3]) + b[:, 1:2], ["tokens", "row", "row"]),
    "gated": (lambda t, u, g: gated(t, u, g[:, 4]), lambda t, u, g: t + u * g[:, 4:5], ["tokens", "update", "row"]),
    "activated": (lambda t, w: normed_and_activated(t, w, 1e-6),
                  lambda t, w: torch.nn.functional.silu(rms(t, w)), ["tokens", (width,)]),
    "rms_normed": (lambda t, w: rms_normed(t, w, 1e-6), rms, ["tokens", (width,)]),
    "rms_normed by samples": (lambda t, g: rms_normed(t, g[:, 3], 1e-6), lambda t, g: rms(t, g[:, 3:4]),
                              ["tokens", "row"]),
    "added_rms_normed": (lambda t, u, g: added_rms_normed(t, u, g[:, 1], 1e-6),
                         lambda t, u, g: t + rms(u, g[:, 1:2]), ["tokens", "update", "row"]),
    "swiglu": (lambda t, u: swiglu(t.clone(), u),
               lambda t, u: torch.nn.functional.silu(t) * u, ["tokens", "update"]),
    "rotary of heads": (rotary, exact_of_head, ["tokens", (16,)]),
    "rotary of all": (rotary, exact_of_all, ["tokens", (width,)]),
}
def apart(found, exact):
    return ((found.double().cpu() - exact).abs().max() / exact.abs().max()).item()

results = {"by": fused_operators(device)}
for name, (fused, exact, kinds) in cases.items():
    for tokens_dtype, row_dtype in ((torch.float32,) * 2, (torch.bfloat16,) * 2, (torch.bfloat16, torch.float32)):
        inputs = []
        for kind in kinds:
            dtype = row_dtype if kind == "row" else tokens_dtype
            inputs.append(torch.randn(shapes.get(kind, kind)).to(dtype))
        direction = torch.randn(BATCH, LENGTH, width).to(tokens_dtype)
        wide = [each.double().requires_grad_() for each in inputs]
        expected = exact(*wide)
        expected.backward(direction.double().view_as(expected))
        given = [each.to(device).requires_grad_() for each in inputs]
        found = fused(*given)
        assert found.dtype == tokens_dtype and found.shape == expected.shape
        found.backward(direction.to(device).view_as(found))
        with torch.inference_mode():
            again = fused(*(each.detach() for each in given))
        differences = [apart(found.detach(), expected), apart(again, expected)]
        for one, other in zip(given, wide):
            assert one.grad.dtype == one.dtype
            differences.append(apart(one.grad, other.grad))
        results[f"{name}, {tokens_dtype}, {row_dtype}"] = differences
print(json.dumps(results))
"""


def check(printed: str, by: str) -> None:
    results = json.loads(printed)
    assert results.pop("by") == by
    assert len(results) == 27
    for name, differences in results.items():
        bound = 2e-6 if "bfloat16" not in name else 3 * 2**-8
        assert max(differences) <= bound, (name, differences)


def run(program: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torch_alone() -> None:
    check(run(COMPARED, "cpu"), "torch")


def test_triton_in_its_interpreter() -> None:
    pytest.importorskip("triton", reason="pip install triton")
    check(run(COMPARED, "cpu", TRITON_INTERPRET="1", DIFFSYNTH_FUSED_OPERATORS="triton"), "triton")


def test_ascend_on_the_emulated_npu(run_on: Callable[..., str]) -> None:
    program = COMPARED.replace("sys.argv[1]", "'npu'")
    check(run_on("npu", program, DIFFSYNTH_FUSED_OPERATORS="torch_npu", NPU_EMULATOR_DEVICES="1"), "torch_npu")


# Ends with an error unless the networks, and their gradients, are near torch's own with the other operators. Prints
# the vendor's operators that ran.
NETWORKS = """
import os
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from diffsynth.core.fused import fused_operators
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.z_image_dit import ZImageDiT

DEVICE, NAME = "cpu", "triton"


class Seen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


def computed(network, device, name, *given):
    os.environ["DIFFSYNTH_FUSED_OPERATORS"] = name
    assert fused_operators(device) == name
    network.to(device).requires_grad_(False)
    given = [each.to(device) for each in given]
    with torch.no_grad():
        result = network(*given).cpu()
    network.requires_grad_(True)
    network(*given, use_gradient_checkpointing=True).square().mean().backward()
    gradients = {name: each.grad.cpu() for name, each in network.named_parameters() if each.grad is not None}
    network.zero_grad()
    return result, gradients


torch.manual_seed(0)
wan = WanModel(dim=64, ffn_dim=96, num_heads=2, num_layers=2, text_dim=24).eval()
qwen = QwenImageDiT(num_layers=2, num_heads=2, head_dim=32, text_dim=24).eval()
z_image = ZImageDiT(num_layers=2, num_refiner_layers=1, num_heads=2, head_dim=32, text_dim=24).eval()
rest = torch.tensor([833.3, 10.0]), torch.randn(2, 7, 24)
with Seen() as seen:
    pictures = torch.randn(2, 16, 6, 8)
    for network, latents in (wan, torch.randn(2, 16, 3, 6, 6)), (qwen, pictures), (z_image, pictures):
        expected, wanted = computed(network, "cpu", "torch", latents, *rest)
        found, gradients = computed(network, DEVICE, NAME, latents, *rest)
        assert not torch.equal(found, expected), "the same kernels computed both"
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        largest = max(each.abs().max().item() for each in wanted.values())
        assert gradients.keys() == wanted.keys() and len(wanted) > 40
        for name, gradient in wanted.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5 * largest, msg=name)
print(*(name for name in seen.names if name.startswith("npu::")))
"""


def test_the_networks_with_ascends_operators(run_on: Callable[..., str]) -> None:
    program = NETWORKS.replace('"cpu", "triton"', '"npu", "torch_npu"')
    ran = set(run_on("npu", program, NPU_EMULATOR_DEVICES="1").split())
    assert {"npu::npu_rotary_mul", "npu::npu_rms_norm", "npu::npu_layer_norm_eval"} <= ran
    assert {"npu::npu_rotary_mul_backward", "npu::npu_rms_norm_backward"} <= ran


def test_the_networks_with_tritons_kernels() -> None:
    pytest.importorskip("triton", reason="pip install triton")
    run(NETWORKS, TRITON_INTERPRET="1")


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "cutlass")
    with pytest.raises(FusedOperatorsError, match=r"DIFFSYNTH_FUSED_OPERATORS='cutlass': expected one of triton"):
        fused_operators("cpu")


def test_hooks_see_the_linear_layer_run() -> None:
    linear = nn.Linear(4, 6)
    seen = []
    linear.register_forward_hook(lambda module, given, result: seen.append(result))
    tokens = torch.randn(2, 3, 4)
    assert torch.equal(gelu_of_linear(linear, tokens), F.gelu(seen[0], approximate="tanh"))


def test_what_does_not_work_leaves_it_to_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Older:
        def modulated(self, *given: object) -> torch.Tensor:
            raise TypeError("an unexpected keyword argument")

    monkeypatch.setitem(choice.OF_DEVICE, "cpu", "triton")
    monkeypatch.setattr(choice, "is_installed", lambda name: True)
    monkeypatch.setattr(choice, "_load", lambda name: Older())
    choice._choose.cache_clear()
    assert fused_operators("cpu") == "torch"
    assert "triton is installed but cannot be used (TypeError: an unexpected keyword argument)" in caplog.text
    choice._choose.cache_clear()
