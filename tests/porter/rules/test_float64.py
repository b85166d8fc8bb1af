"""DP301: tensors in double precision."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP301"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("freqs = torch.arange(0, 64, 2, dtype=torch.float64)", 1),
        ("freqs = torch.linspace(0, 1, 8, dtype=torch.double, device=device)", 1),
        ("import torch as th\nfreqs = th.ones(2, dtype=th.float64)", 2),
        ("from torch import float64", 1),
        ("x = x.to(torch.float64)", 1),
        ("x = x.to('cuda', torch.float64)", 1),
        ("x = x.type(torch.double)", 1),
        ("torch.set_default_dtype(torch.float64)", 1),
        ("freqs_dtype = torch.float32 if is_mps else torch.float64", 1),
        ("def rope(length, freqs_dtype=torch.float64):\n    pass", 1),
        ("rope(length, freqs_dtype=torch.float64)", 1),
        ('options = {"torch_dtype": torch.float64}', 1),
        ("import torch\nx = x.double()", 2),
        ("from torch import nn\nx = self.freqs.to(device).double()", 2),
    ],
)
def test_double_precision_is_a_warning(text, line):
    check_reported(text, CODE, "warning", line)


@pytest.mark.parametrize(
    "text",
    [
        "freqs = torch.arange(0, 64, 2, dtype=torch.float32)",
        "freqs = torch.arange(0, 64, 2, dtype=numpy.float64)",
        'freqs = torch.linspace(0, 1, 8, dtype=torch.double, device="cpu")',
        "import jax as th\nfreqs = th.ones(2, dtype=th.float64)",
        "from numpy import float64",
        "x = x.cpu().to(torch.float64)",
        "x = x.to('cpu', torch.float64)",
        "x = x.type(torch.float)",
        "limits = torch.finfo(torch.float64)",
        "if x.dtype == torch.float64:\n    pass",
        "if x.dtype in (torch.float32, torch.float64):\n    pass",
        "names = {torch.float64: 'double'}",
        "x = x.double()",
        "import torch\nx = x.double(2)",
        "import torch\nx = x.cpu().double()",
        "import torch\nx = x.to('cpu').double()",
        "import torch\nx = x.double",
        "assert isinstance(x, torch.DoubleTensor)",
    ],
)
def test_other_dtypes_questions_and_the_cpu_are_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize("target", ["xpu", "mps", "musa"])
def test_it_is_about_ascend_only(target):
    check_silent("freqs = torch.arange(0, 64, 2, dtype=torch.float64)", CODE, target=target)
