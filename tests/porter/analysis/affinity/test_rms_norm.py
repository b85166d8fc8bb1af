"""DP501: RMS norms that are written out, and what is none."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import body, check_fused, check_left_alone, fused_body

CODE = "DP501"
PARAMETERS = "x, weight, eps"
FUSED = fused_body("return torch_npu.npu_rms_norm(x, weight, epsilon=eps)[0]", PARAMETERS)


@pytest.mark.parametrize(
    "lines",
    [
        "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight",
        "return weight * (x * torch.rsqrt(torch.mean(x ** 2, dim=-1, keepdim=True) + eps))",
        "return x / torch.sqrt(x.square().mean(dim=[-1], keepdim=True) + eps) * weight",
        "return (x.float() * torch.rsqrt((x.float() * x.float()).mean(-1, True) + eps)).type_as(x) * weight",
        "v = torch.square(x).mean(-1, keepdim=True)\nn = x * (v + eps) ** -0.5\nreturn n * weight",
        "v = x.float().pow(2).mean(-1, keepdim=True)\ny = x.float() * torch.rsqrt(eps + v)\n"
        "return (weight * y).to(x.dtype)",
        "kind = x.dtype\nx = x.to(torch.float32)\nr = 1 / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)\n"
        "x = x * r\nreturn weight * x.to(kind)",
    ],
)
def test_it_is_fused_however_it_is_written(lines):
    check_fused(body(lines, PARAMETERS), FUSED, CODE)


@pytest.mark.parametrize(
    "lines",
    [
        "return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + eps) * weight",  # another axis
        "return x * torch.rsqrt(x.pow(2).mean(-1) + eps) * weight",
        "return x * torch.rsqrt(x.pow(2).mean((-2, -1), keepdim=True) + eps) * weight",
        "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * (1 + weight)",
        "return x * (torch.rsqrt(x.pow(2).mean(-1, keepdim=True)) + eps) * weight",  # eps elsewhere
        "return x / (torch.sqrt(x.pow(2).mean(-1, keepdim=True)) + eps) * weight",
        "return x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps) * weight",  # stays in float32
        "return x * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps) * weight",
        "return x * torch.rsqrt(x.pow(3).mean(-1, keepdim=True) + eps) * weight",
        "return x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) + eps) * weight",
        "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)",  # no weight
        "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * y",
        "return x * torch.rsqrt(x.var(-1, keepdim=True) + eps) * weight",
        "import torch_npu\nreturn x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight",
        "v = x.pow(2).mean(-1, keepdim=True)\nx = x + 1\nreturn x * torch.rsqrt(v + eps) * weight",
    ],
)
def test_what_is_nearly_one_is_left_alone(lines):
    check_left_alone(body(lines, "x, y, weight, eps"), CODE)


MODULE = """\
import torch
class Norm(torch.nn.Module):
    def __init__(self, dim, shape):
        super().__init__()
        self.weight = torch.nn.Parameter({made})
        self.eps = 1e-6
    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
    def forward(self, x):
        {line}
"""


def test_a_method_of_the_class_is_read_through():
    before = MODULE.format(made="torch.ones(dim)", line="return self._norm(x.float()).type_as(x) * self.weight")
    after = MODULE.format(
        made="torch.ones(dim)", line="return torch_npu.npu_rms_norm(x, self.weight, epsilon=self.eps)[0]"
    )
    check_fused(before, after.replace("import torch\n", "import torch\nimport torch_npu\n", 1), CODE)


@pytest.mark.parametrize("made", ["torch.ones((2, 3))", "torch.ones(dim, 1)", "shape"])
def test_a_weight_that_may_be_no_vector_is_none(made):
    check_left_alone(MODULE.format(made=made, line="return self._norm(x) * self.weight"), CODE)


def test_what_is_used_elsewhere_stays():
    before = body("v = x.pow(2).mean(-1, keepdim=True)\ny = x * torch.rsqrt(v + eps) * weight\nreturn y, v", PARAMETERS)
    lines = "v = x.pow(2).mean(-1, keepdim=True)\ny = torch_npu.npu_rms_norm(x, weight, epsilon=eps)[0]\nreturn y, v"
    check_fused(before, fused_body(lines, PARAMETERS), CODE)


def test_comments_stay():
    before = body(
        "v = x.pow(2).mean(-1, keepdim=True)  # in float32\nreturn x * torch.rsqrt(v + eps) * weight", PARAMETERS
    )
    after = fused_body("# in float32\nreturn torch_npu.npu_rms_norm(x, weight, epsilon=eps)[0]", PARAMETERS)
    check_fused(before, after, CODE)
