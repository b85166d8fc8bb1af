"""DP504: SwiGLU and GEGLU that are written out, and what is none."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import body, check_fused, check_left_alone, fused_body

CODE = "DP504"


@pytest.mark.parametrize(
    ("lines", "call"),
    [
        ("a, b = x.chunk(2, dim=-1)\nreturn F.silu(a) * b", "torch_npu.npu_swiglu(x, dim=-1)"),
        ("a, b = torch.chunk(x, 2, 1)\nreturn b * F.silu(a)", "torch_npu.npu_swiglu(x, dim=1)"),
        ("a, b = x.chunk(2)\nreturn F.silu(a) * b", "torch_npu.npu_swiglu(x, dim=0)"),
        ("a, b = x.chunk(2, -1)\nreturn a * F.gelu(b)", "torch_npu.npu_geglu(x, dim=-1, approximate=0)[0]"),
        (
            "a, b = x.chunk(2, -1)\nreturn F.gelu(a, approximate='tanh') * b",
            "torch_npu.npu_geglu(x, dim=-1, approximate=1, activate_left=True)[0]",
        ),
    ],
)
def test_halves_of_one_tensor_are_fused(lines, call):
    check_fused(body(lines), fused_body(f"return {call}"), CODE)


@pytest.mark.parametrize(
    "lines",
    [
        "a, b = x.chunk(2, dim=-1)\nreturn a * F.silu(b)",  # the operator takes the first half for the gate
        "a, b, c = x.chunk(3, dim=-1)\nreturn F.silu(a) * b",
        "a, b = x.split(4, dim=-1)\nreturn F.silu(a) * b",
        "a, b = x.chunk(2, dim=-1)\nreturn F.relu(a) * b",
        "a, b = x.chunk(2, dim=-1)\nreturn F.silu(a) + b",
        "a, b = x.chunk(2, dim=-1)\nreturn F.silu(a) * a",
        "a, b = x.chunk(2, dim=-1)\na = a + 1\nreturn F.silu(a) * b",
        "return F.silu(x) * y",  # may be broadcast
        "a, b = x.chunk(2, dim=-1)\nc, d = y.chunk(2, dim=-1)\nreturn F.silu(a) * d",
        "a, b = x.chunk(2, -1)\nreturn a * F.gelu(b, approximate=y)",
    ],
)
def test_what_is_nearly_one_is_left_alone(lines):
    check_left_alone(body(lines, "x, y"), CODE)


MODULE = """\
import torch
class FeedForward(torch.nn.Module):
    def __init__(self, dim, inner, other):
        super().__init__()
        self.w1 = torch.nn.Linear(dim, inner)
        self.w3 = torch.nn.Linear(dim, {features})
        self.act = torch.nn.SiLU()
    def forward(self, x, y):
        return {value}
"""


def test_two_layers_made_alike_are_fused():
    before = MODULE.format(features="inner", value="self.act(self.w1(x)) * self.w3(x)")
    call = "torch_npu.npu_swiglu(torch.cat((self.w1(x), self.w3(x)), dim=-1), dim=-1)"
    after = MODULE.format(features="inner", value=call).replace("import torch\n", "import torch\nimport torch_npu\n", 1)
    check_fused(before, after, CODE)


@pytest.mark.parametrize(
    ("features", "value"),
    [("other", "self.act(self.w1(x)) * self.w3(x)"), ("inner", "self.act(self.w1(x)) * self.w3(y)")],
)
def test_two_layers_made_otherwise_are_left_alone(features, value):
    check_left_alone(MODULE.format(features=features, value=value), CODE)
