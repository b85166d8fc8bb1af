"""DP206: random numbers drawn on the device."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP206"


@pytest.mark.parametrize(
    "text",
    [
        'pipe(prompt, rand_device="cuda")',
        "pipe(prompt, rand_device='cuda:1')",
        'pipe(prompt, rand_device="npu")',
        'pipe(prompt, rand_device=f"cuda:{rank}")',
        'pipe(prompt, rand_device="cuda" if fast else "cpu")',
        'options = {"rand_device": "cuda"}',
        'rand_device = "cuda"',
        'torch.Generator("cuda")',
        'torch.Generator(device="cuda:0")',
        'torch.Generator(device=f"npu:{rank}")',
        'from torch import Generator; Generator("cuda")',
    ],
)
def test_drawing_on_the_device_is_a_note(text):
    assert '"cpu"' in check_reported(text, CODE, "note").way_out


@pytest.mark.parametrize(
    "text",
    [
        'pipe(prompt, rand_device="cpu")',
        'pipe(prompt, rand_device="xpu")',
        "pipe(prompt, rand_device=device)",
        'pipe(prompt, device="cuda")',
        'options = {"rand_devices": "cuda"}',
        'if rand_device == "cuda":\n    pass',
        'torch.Generator("cpu")',
        "torch.Generator()",
        "torch.Generator(device)",
        'numpy.random.Generator("cuda")',
        'def noise(generator: torch.Generator, device="cuda"):\n    pass',
    ],
)
def test_drawing_elsewhere_or_somewhere_is_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize("target", ["xpu", "mps", "musa"])
def test_it_holds_for_every_target(target):
    check_reported('pipe(prompt, rand_device="cuda")', CODE, "note", target=target)
