"""DP505: activations that are written out, and what is none."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import body, check_fused, check_left_alone, fused_body

CODE = "DP505"


@pytest.mark.parametrize(
    ("line", "call", "imports"),
    [
        ("return x * torch.sigmoid(1.702 * x)", "torch_npu.npu_fast_gelu(x)", True),
        ("return torch.sigmoid(x * 1.702) * x", "torch_npu.npu_fast_gelu(x)", True),
        ("return x * x.sigmoid()", "F.silu(x)", False),
        ("return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))", "F.gelu(x)", False),
        (
            "return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3))))",
            'F.gelu(x, approximate="tanh")',
            False,
        ),
        (
            "return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))",
            'F.gelu(x, approximate="tanh")',
            False,
        ),
    ],
)
def test_it_is_fused_however_it_is_written(line, call, imports):
    check_fused(body(line), fused_body(f"return {call}", imports_torch_npu=imports), CODE)


@pytest.mark.parametrize(
    "line",
    [
        "return x * torch.sigmoid(1.7 * x)",
        "return x * torch.sigmoid(y)",
        "return x + torch.sigmoid(x)",
        "return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(3.0)))",
        "return x * 0.25 * (1.0 + torch.erf(x / math.sqrt(2.0)))",
        "return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044 * torch.pow(x, 3))))",
        "return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 2))))",
        "return 0.5 * y * (1 + torch.erf(x / math.sqrt(2)))",
    ],
)
def test_other_functions_are_left_alone(line):
    check_left_alone(body(line, "x, y"), CODE)
