"""Refusals come from the tables, by hardware line."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from npu_emulator.errors import RefusedOnNpu
from npu_emulator.refusals import make_rules
from npu_emulator.support_table import op_support, read_table

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_refusal_names_the_op_the_type_the_list_and_the_report() -> None:
    with pytest.raises(RefusedOnNpu) as refused:
        torch.ones(3, dtype=torch.float64, device="npu").repeat_interleave(2)
    text = str(refused.value)
    assert "aclnnRepeatInterleaveIntWithDim" in text
    assert "DT_DOUBLE" in text
    assert "[DT_UINT8, DT_INT8, DT_INT16, DT_INT32, DT_INT64, DT_BOOL, DT_FLOAT16, DT_FLOAT, DT_BFLOAT16]" in text
    assert "https://github.com/huggingface/diffusers/issues/10428" in text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_other_types_are_never_refused_for_missing_from_a_list(dtype: torch.dtype) -> None:
    # bfloat16 is in no list of matmul, and runs on hardware.
    a = torch.ones(2, 2, dtype=dtype, device="npu")
    assert (a @ a).sum().item() == 8


def test_the_stricter_of_function_and_method_counts() -> None:
    support = op_support("A2")
    assert {"torch.exp", "torch.Tensor.exp"} <= set(support["exp"].apis)
    assert "float64" not in (support["exp"].types or ())  # torch.exp lists it, Tensor.exp does not
    with pytest.raises(RefusedOnNpu):
        torch.exp(torch.ones(2, dtype=torch.float64, device="npu"))


def test_the_norm_of_gradients_may_be_float64() -> None:
    assert "float64" not in (op_support("A2")["sum"].types or ())
    total = torch.sum(torch.ones(2, dtype=torch.float64, device="npu"))  # all of this DeepSpeed does
    clip = torch.clamp((total * total / 2 + 1e-6) / 1.0, min=1.0)
    assert clip.isfinite().item()
    assert not (clip != clip).item()
    assert not (clip == float("inf")).item()


def test_a_report_overrides_the_lists() -> None:
    rules = make_rules(op_support("A2"))
    assert rules["conv3d", "bfloat16"].reports
    assert "bfloat16" in (op_support("A2")["conv3d"].types or ())
    assert rules["mul", "complex128"].verdict == "host_cpu"
    assert ("reciprocal", "float64") not in rules


def test_moving_and_casting_is_always_possible() -> None:
    wide = torch.linspace(0, 1, 3, dtype=torch.float64).npu()
    assert wide.float().dtype == torch.float32
    assert torch.equal(wide.cpu(), wide.clone().cpu())
    assert wide.view(3, 1)[1].item() == 0.5


def test_a_listed_type_covers_the_whole_operator() -> None:
    # einsum lists float64; the bmm it is made of does not.
    a = torch.ones(2, 2, dtype=torch.float64, device="npu")
    assert torch.einsum("ij,jk->ik", a, a).cpu().sum().item() == 8
    with pytest.raises(RefusedOnNpu):
        torch.bmm(a[None], a[None])


def test_backward_of_a_listed_operator_runs() -> None:
    a = torch.ones(2, 2, dtype=torch.float64, device="npu", requires_grad=True)
    torch.einsum("ij,jk->ik", a, a).trace().backward()
    assert a.grad is not None


def test_complex128_warns_once_with_its_place() -> None:
    x = torch.ones(3, dtype=torch.complex128, device="npu")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            torch.exp(x)
    (warning,) = (entry for entry in caught if "complex128" in str(entry.message))
    assert "exp on complex128 runs on the host's AI CPU on atlas-a2" in str(warning.message)
    assert warning.filename == __file__


def test_refusals_reach_through_functions_and_modules() -> None:
    with pytest.raises(RefusedOnNpu, match="DT_COMPLEX64"):
        torch.polar(torch.ones(2, device="npu"), torch.ones(2, device="npu"))[torch.tensor([0], device="npu")]
    with pytest.raises(RefusedOnNpu, match="DT_DOUBLE"):
        torch.nn.Linear(2, 2).double().npu()(torch.ones(1, 2, dtype=torch.float64, device="npu"))


def test_refusals_hold_without_gradients() -> None:
    x = torch.ones(3, dtype=torch.float64, device="npu")
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), pytest.raises(RefusedOnNpu):
            x.repeat_interleave(2)


def test_not_strict_warns_instead(run: Run) -> None:
    code = """
        import torch
        x = torch.ones(3, dtype=torch.float64, device="npu")
        print(x.exp().sum().item() > 8, x.repeat_interleave(2).shape[0])
    """
    result = run(code, NPU_EMULATOR_STRICT="0")
    assert result.stdout.split() == ["True", "6"], result.stderr
    assert "program.py:3: UserWarning: exp: tensor not implemented for DT_DOUBLE" in result.stderr.replace(
        "program.py:4", "program.py:3"
    )


def test_hardware_lines_differ(run: Run) -> None:
    code = """
        import torch
        try:
            print(torch.ones(3, 2, device="npu").atanh().shape)
        except NotImplementedError as error:
            print(error)
    """
    assert "torch.Size([3, 2])" in run(code, options=("--hardware", "atlas-a2")).stdout
    assert "atanh is not supported on ascend-950dt" in run(code, options=("--hardware", "ascend-950dt")).stdout


@pytest.mark.parametrize("name", ["efficient", "flash"])
def test_the_attention_kernels_of_cuda_are_not_there(name: str) -> None:
    """The hardware falls back to the host for them, which has none either: vllm-project/vllm-omni#755."""
    query, key, value = torch.randn(3, 2, 4, 6, 8).unbind()
    kernel = getattr(torch.ops.aten, f"_scaled_dot_product_{name}_attention")
    options = (None, False) if name == "efficient" else ()
    with pytest.raises(NotImplementedError, match=rf"Could not run 'aten::_scaled_dot_product_{name}_attention'"):
        kernel(query.to("npu"), key.to("npu"), value.to("npu"), *options)
    expected = functional.scaled_dot_product_attention(query, key, value)
    found = functional.scaled_dot_product_attention(query.to("npu"), key.to("npu"), value.to("npu"))
    torch.testing.assert_close(found.cpu(), expected)


@pytest.mark.parametrize("line", ["A2", "A3", "950"])
def test_every_rule_is_about_a_watched_type_or_has_a_report(line: str) -> None:
    for (_, type_name), rule in make_rules(op_support(line)).items():
        assert type_name in ("float64", "complex64", "complex128", "*") or rule.reports


def test_reports_table_is_well_formed() -> None:
    table = read_table("ascend_refusals.json")
    for entry in table["refused"] + table["host_cpu"]:
        assert entry["ops"]
        assert entry["types"]
        assert entry["way_out"]
        assert all(report.startswith("https://github.com/") for report in entry["reports"])
