"""DP214: torch.compile without a word of its backend."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP214"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("torch.compile(model)", 1),
        ('torch.compile(model, backend="inductor", mode="max-autotune")', 1),
        ("@torch.compile\ndef f(x): ...", 1),
        ("@torch.compile(fullgraph=True)\ndef f(x): ...", 1),
        ("import torch as th\nm = th.compile(m)", 2),
    ],
)
def test_inductor_is_a_note(text: str, line: int) -> None:
    check_reported(text, CODE, "note", line)


@pytest.mark.parametrize(
    "text",
    [
        'torch.compile(model, backend="eager")',
        "torch.compile(model, backend=npu_backend)",
        "torch.compile(model, disable=True)",
        "torch.compile(model, **options)",
        "re.compile(pattern)",
        "model.compile(optimizer)",
        "torch.compiler.reset()",
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)


def test_other_targets_have_inductor_with_torch() -> None:
    check_silent("torch.compile(model)", CODE, "xpu")
