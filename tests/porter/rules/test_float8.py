"""DP305: eight-bit floating point."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP305"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('vram_config = {"offload_dtype": torch.float8_e4m3fn}', 1),
        ("weight = weight.to(torch.float8_e5m2)", 1),
        ("weight = torch.empty(4, dtype=torch.float8_e4m3fnuz)", 1),
        ("import torch as th\nweight = weight.view(th.float8_e8m0fnu)", 2),
        ("from torch import float8_e4m3fn", 1),
        ("load(path, torch_dtype=torch.float8_e4m3fn)", 1),
    ],
)
def test_float8_is_a_warning(text, line):
    check_reported(text, CODE, "warning", line)
    assert "atlas-a3" in check_reported(text, CODE, "warning", line, hardware="atlas-a3").message
    assert "atlas-310p" in check_reported(text, CODE, "warning", line, hardware="atlas-310p").message
    check_silent(text, CODE, hardware="ascend-950dt")


@pytest.mark.parametrize(
    "text",
    [
        'vram_config = {"offload_dtype": torch.bfloat16}',
        "weight = weight.cpu().to(torch.float8_e5m2)",
        'weight = torch.empty(4, dtype=torch.float8_e4m3fnuz, device="cpu")',
        "import jax as th\nweight = weight.view(th.float8_e8m0fnu)",
        "from ml_dtypes import float8_e4m3fn",
        "if weight.dtype == torch.float8_e4m3fn:\n    pass",
        "if weight.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):\n    pass",
        "limits = torch.finfo(torch.float8_e4m3fn)",
    ],
)
def test_other_dtypes_questions_and_the_cpu_are_left_alone(text):
    check_silent(text, CODE)
