"""DP311: a device with a number, in a program that never sets its own."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP311"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('x.to("cuda:1")', 1),
        ('x.to("npu:3")', 1),
        ('x.to(f"cuda:{rank}")\ny.to(f"cuda:{rank}")', 1),
        ('import torch\nd = torch.device(f"cuda:{rank}")', 2),
        ('torch.zeros(1, device="cuda:2")', 1),
    ],
)
def test_the_first_one_is_a_note(text: str, line: int) -> None:
    check_reported(text, CODE, "note", line)


@pytest.mark.parametrize(
    "text",
    [
        'x.to("cuda")',
        'x.to("cuda:0")',
        'torch.cuda.set_device(rank)\nx.to(f"cuda:{rank}")',
        'print("cuda:1")',
        'if d == "cuda:1": pass',
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)
