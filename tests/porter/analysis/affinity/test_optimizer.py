"""DP506: optimizers that torch_npu has fused."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import check_fused, check_left_alone, check_only_reported

CODE = "DP506"


@pytest.mark.parametrize(
    ("imports", "call", "after"),
    [
        ("", "torch.optim.AdamW(p, lr=1e-4)", "torch_npu.optim.NpuFusedAdamW(p, lr=1e-4)"),
        ("", "torch.optim.Adam(p, 1e-4, (0.9, 0.99))", "torch_npu.optim.NpuFusedAdam(p, 1e-4, (0.9, 0.99))"),
        (
            "from torch.optim import SGD\n",
            "SGD(p, lr=0.1, momentum=0.9)",
            "torch_npu.optim.NpuFusedSGD(p, lr=0.1, momentum=0.9)",
        ),
    ],
)
def test_the_same_arguments_go_on(imports, call, after):
    before = f"import torch\n{imports}def f(p):\n    return {call}\n"
    check_fused(before, f"import torch\nimport torch_npu\n{imports}def f(p):\n    return {after}\n", CODE)


@pytest.mark.parametrize(
    "text",
    [
        "torch.optim.AdamW(p, lr=1e-4, maximize=True)",
        "torch.optim.AdamW(p, lr=1e-4, fused=True)",
        "torch.optim.AdamW(**options)",
        "torch.optim.SGD(p)",
        "torch.optim.Adagrad(p)",
        "torch.optim.AdamW(p); o.zero_grad(set_to_none=True)",
        "torch.optim.AdamW(p); model.zero_grad()",
        "torch.optim.AdamW(p); o.add_param_group(g)",
        "torch.optim.AdamW(p); x.to(torch.bfloat16)",
        "torch.optim.AdamW(p); FSDP(m)",
        "our.optim.AdamW(p)",
        "isinstance(o, torch.optim.AdamW)",
    ],
)
def test_what_they_refuse_is_left_alone(text):
    check_left_alone(f"import torch\n{text}\n", CODE)


def test_that_of_apex_is_left_to_a_person():
    finding = check_only_reported("import torch\nfrom apex.optimizers import FusedAdam\nFusedAdam(p, lr=1)\n", CODE)
    assert "weight_decay=0.0" in finding.way_out
