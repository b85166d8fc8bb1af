"""DP302: complex tensors."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP302"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("table = torch.polar(ones, angles)", 1),
        ("pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))", 1),
        ("z = torch.complex(real, imaginary)", 1),
        ("import torch as th\ntable = th.polar(ones, angles)", 2),
        ("from torch import polar", 1),
        ("table = torch.zeros(4, dtype=torch.complex64)", 1),
        ("table = table.to(torch.complex128)", 1),
        ("table = table.view(torch.cfloat)", 1),
        ("dtype = torch.complex64", 1),
        ("table = x.cfloat()", 1),
    ],
)
def test_a_complex_tensor_is_a_warning(text, line):
    assert "real tables" in check_reported(text, CODE, "warning", line).way_out


@pytest.mark.parametrize(
    "text",
    [
        "table = torch.outer(ones, angles)",
        "pairs = torch.view_as_real(z)",
        "z = complex(real, imaginary)",
        "import cmath as th\ntable = th.polar(angles)",
        "from cmath import polar",
        "table = torch.zeros(4, dtype=torch.float32)",
        'table = torch.zeros(4, dtype=torch.complex64, device="cpu")',
        "table = table.cpu().to(torch.complex128)",
        "table = table.view(torch.float)",
        "if x.dtype == torch.complex64:\n    pass",
        "if torch.is_complex(x):\n    pass",
        "table = x.float()",
    ],
)
def test_real_tensors_questions_and_the_cpu_are_left_alone(text):
    check_silent(text, CODE)


def test_the_message_names_the_operators_of_the_file():
    refused = check_reported(
        "import torch\ny = torch.stack([x.to(torch.complex64)]).cumprod(0).atan2(z)", CODE, "warning", 2
    )
    assert "(atlas-a2) refuses complex64 in atan2" in refused.message
    slow = check_reported("import torch\ny = x.to(torch.complex128).exp()", CODE, "warning", 2)
    assert "runs exp on complex128 on its AI CPU" in slow.message
    assert "some operators" in check_reported("x.to(torch.complex64)", CODE, "warning").message


def test_the_branch_that_the_accelerator_does_not_take_is_left_alone():
    check_silent("import torch\ny = rotate(x) if x.device.type == 'npu' else torch.view_as_complex(x)", CODE)


@pytest.mark.parametrize("switch", ["is_npu_available()", "IS_NPU", "self.use_npu", "is_torch_npu_available()"])
def test_a_branch_of_the_programs_own_switch_is_meant_for_the_npu(switch):
    check_silent(f"if {switch}:\n    x = torch.polar(a, b)", CODE)
    check_reported(f"if {switch}:\n    pass\nelse:\n    pass\nx = torch.polar(a, b)", CODE, "warning", 5)
    check_reported("if IS_CUDA:\n    x = torch.polar(a, b)", CODE, "warning", 2)
