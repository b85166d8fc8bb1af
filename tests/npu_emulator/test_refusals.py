"""Refusals come from the table of operators, by hardware line, in forward, backward and hooks alike."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import npu_emulator
from npu_emulator.errors import RefusedOnNpu
from npu_emulator.operator_table import OperatorTable, read_table
from npu_emulator.settings import HARDWARE_LINES

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def count_afresh() -> None:
    npu_emulator.reset_slow_operators()


def warned(call: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(entry.message) for entry in caught]


# The text


def test_a_refusal_is_worded_as_on_hardware() -> None:
    with pytest.raises(RefusedOnNpu) as refused:
        -torch.ones(2, dtype=torch.int16, device="npu")
    text = str(refused.value)
    assert text.startswith(
        "neg: NPU function error: call aclnnNeg failed, error code is 161002. EZ1001: Tensor self not implemented for "
        "DT_INT16, should be in dtype support list [DT_INT8,DT_INT32,DT_INT64,DT_FLOAT16,DT_FLOAT,"
    )
    assert text.endswith("(neg on int16, atlas-a2; source: the definition of aclnnNeg)")


def test_a_reported_refusal_names_the_report_and_the_way_out() -> None:
    with pytest.raises(RefusedOnNpu) as refused:
        torch.ones(3, dtype=torch.float64, device="npu").repeat_interleave(2)
    text = str(refused.value)
    assert "aclnnRepeatInterleaveIntWithDim" in text
    assert "[DT_UINT8,DT_INT8,DT_INT16,DT_INT32,DT_INT64,DT_BOOL,DT_FLOAT16,DT_FLOAT,DT_BFLOAT16]" in text
    assert "report: https://github.com/huggingface/diffusers/issues/10428" in text
    assert "instead: keep the table in float32" in text


# Which types


def wide() -> Tensor:
    return torch.arange(4, dtype=torch.float64, device="npu")


@pytest.mark.parametrize("compute", [torch.neg, torch.sin, torch.cos, torch.exp, torch.abs, torch.sum, torch.isfinite])
def test_float64_runs_where_the_function_takes_it(compute: Callable[[Tensor], Tensor]) -> None:
    assert torch.equal(compute(wide()).cpu(), compute(wide().cpu()))


def test_complex_tensors_are_joined_and_chosen_from_but_not_indexed() -> None:
    pairs = torch.view_as_complex(torch.arange(8.0, device="npu").view(4, 2))
    chosen = torch.tensor([1, 3], device="npu")
    assert torch.cat([pairs, pairs]).shape == (8,)
    assert pairs.index_select(0, chosen).shape == (2,)
    with pytest.raises(RefusedOnNpu, match=r"aclnnIndex .*DT_COMPLEX64"):
        pairs[chosen]


REFUSED: dict[str, Callable[[], object]] = {
    "mm int64": lambda: torch.mm(*[torch.ones(2, 2, dtype=torch.int64, device="npu")] * 2),
    "linear float64": lambda: functional.linear(wide(), wide()[None]),
    "arange int8, by dtype": lambda: torch.arange(4, dtype=torch.int8, device="npu"),
    "cat uint64": lambda: torch.cat([torch.tensor([1], dtype=torch.uint64).npu()] * 2),
    "in place": lambda: torch.ones(2, dtype=torch.int16, device="npu").neg_(),
    "out": lambda: torch.neg(torch.ones(2, device="npu"), out=torch.ones(2, dtype=torch.int16, device="npu")),
    "foreach": lambda: torch._foreach_add([wide()], 1),
    "normal_ complex": lambda: torch.randn(3, dtype=torch.complex64, device="npu"),
    "searchsorted bfloat16": lambda: torch.searchsorted(*[torch.ones(2, dtype=torch.bfloat16, device="npu")] * 2),
    "index of another type": lambda: torch.ones(2, 2, device="npu").index_copy_(
        0, torch.tensor([0]).npu(), torch.ones(1, 2, device="npu").to(torch.complex128)
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"not implemented for DT_|expected"):
        REFUSED[name]()


def test_indices_are_judged_by_their_own_types() -> None:
    # int64 is no type of index_fill's numbers on every line, yet always one of its indices.
    source = torch.zeros(2, 4, dtype=torch.float16, device="npu")
    source.index_fill_(1, torch.tensor([0], device="npu"), 3)
    functional.embedding(torch.tensor([0], device="npu"), torch.ones(2, 3, device="npu"))


TAKEN_BUT_FOR_THE_PAGES: dict[str, Callable[[], object]] = {
    "index, mask of uint8": lambda: torch.ones(3, device="npu")[torch.tensor([1, 0, 1], dtype=torch.uint8).npu()],
    "index_put_, mask of uint8": lambda: torch.ones(3, device="npu").index_put_(
        (torch.tensor([1, 0, 1], dtype=torch.uint8).npu(),), torch.zeros(2, device="npu")
    ),
    "isfinite int64": lambda: torch.isfinite(torch.arange(3, device="npu")),
    "isfinite bool": lambda: torch.isfinite(torch.ones(3, dtype=torch.bool, device="npu")),
    "sigmoid int64": lambda: torch.sigmoid(torch.arange(3, device="npu")),
    "sigmoid float64": lambda: torch.sigmoid(wide()),
    "erf bfloat16": lambda: torch.erf(torch.ones(2, dtype=torch.bfloat16, device="npu")),
    "asinh_ bfloat16": lambda: torch.ones(2, dtype=torch.bfloat16, device="npu").asinh_(),
    "acos bfloat16": lambda: torch.acos(torch.ones(2, dtype=torch.bfloat16, device="npu")),
    "acosh int32": lambda: torch.acosh(torch.ones(2, dtype=torch.int32, device="npu")),
    "cosh complex64": lambda: torch.cosh(torch.ones(2, dtype=torch.complex64).npu()),
    "sin_ float64": lambda: wide().sin_(),
    "elu float64": lambda: functional.elu(wide()),
    "relu uint8": lambda: torch.relu(torch.ones(2, dtype=torch.uint8, device="npu")),
    "isposinf int64": lambda: torch.isposinf(torch.arange(3, device="npu")),
    "exponential_ float64": lambda: wide().exponential_(),
    "remainder bool": lambda: torch.ones(2, dtype=torch.bool, device="npu") % 2,
    "channel_shuffle bfloat16": lambda: torch.channel_shuffle(
        torch.ones(1, 4, 2, 2, dtype=torch.bfloat16, device="npu"), 2
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TAKEN_BUT_FOR_THE_PAGES)
def test_what_the_code_takes_runs_whatever_its_page_says(name: str) -> None:
    TAKEN_BUT_FOR_THE_PAGES[name]()


@pytest.mark.filterwarnings("ignore")
def test_a_list_that_is_taken_apart_is_judged_one_by_one() -> None:
    """op-plugin gives integers, and what some of its functions lack, to the operator for one tensor."""
    small = torch.ones(2, dtype=torch.uint8, device="npu")
    torch._foreach_sqrt([small, torch.arange(3, device="npu")])
    torch._foreach_abs_([wide()])
    torch._foreach_clamp_max([wide()], 2.0)
    for refused, function in ((torch._foreach_exp, "aclnnExp"), (torch._foreach_neg_, "aclnnNeg")):
        with pytest.raises(RefusedOnNpu, match=f"call {function} failed.*DT_UINT8"):
            refused([small])
    with pytest.raises(RefusedOnNpu, match=r"call aclnnForeachAddScalar failed.*DT_DOUBLE"):
        torch._foreach_add([wide()], 1)


def test_a_refusal_names_the_function_for_the_operands() -> None:
    small = torch.ones(2, dtype=torch.uint8, device="npu")
    with pytest.raises(RefusedOnNpu, match="call aclnnRemainderTensorScalar failed"):
        small % 2
    with pytest.raises(RefusedOnNpu, match="call aclnnRemainderTensorTensor failed"):
        small % small
    with pytest.raises(RefusedOnNpu, match=r"call aclnnIsNegInf failed.*DT_DOUBLE"):
        torch.isneginf(wide())


@pytest.mark.parametrize("pool", [functional.max_pool3d, functional.adaptive_max_pool3d])
def test_the_maxima_of_volumes_are_trained_through(pool: Callable[..., Tensor]) -> None:
    volume = torch.arange(16.0).view(1, 2, 2, 2, 2).npu().requires_grad_()
    maxima, indices = pool(volume, 2, return_indices=True)
    assert indices.dtype is torch.int32
    maxima.sum().backward()
    assert volume.grad is not None
    assert volume.grad.count_nonzero().item() == (2 if pool is functional.max_pool3d else 16)


def test_the_maxima_of_volumes_are_put_back_by_int32_indices() -> None:
    volume = torch.arange(8.0).view(1, 1, 2, 2, 2)
    maxima, indices = functional.max_pool3d(volume.npu(), 2, return_indices=True)
    expected = functional.max_unpool3d(*functional.max_pool3d(volume, 2, return_indices=True), kernel_size=2)
    assert torch.equal(functional.max_unpool3d(maxima, indices, kernel_size=2).cpu(), expected)


def test_adaptive_maxima_of_float64_volumes_fall_back_to_the_host() -> None:
    volume = torch.arange(8.0, dtype=torch.float64).view(1, 1, 2, 2, 2).npu()
    with pytest.warns(UserWarning, match="adaptive_max_pool3d' is not currently supported on the NPU backend"):
        _, indices = functional.adaptive_max_pool3d(volume, 1, return_indices=True)
    assert indices.dtype is torch.int64


def test_moving_casting_and_viewing_is_always_possible() -> None:
    table = torch.linspace(0, 1, 3, dtype=torch.float64).npu()
    assert table.float().dtype == torch.float32
    assert torch.equal(table.cpu(), table.clone().cpu())
    assert table.view(3, 1)[1].item() == 0.5
    assert "float64" in str(table)
    torch.testing.assert_close(table, table.clone())


def test_a_cast_to_float64_makes_float32_unless_it_names_the_device(run: Run) -> None:
    code = """
        import torch
        x = torch.ones(3, device="npu", requires_grad=True)
        y = x.double()
        y.sum().backward()
        layer = torch.nn.Linear(2, 2).npu().double()
        print(y.dtype, x.to(torch.float64).dtype, x.long().double().dtype, layer.weight.dtype)
        print(x.to("npu", torch.float64).dtype, x.cpu().double().npu().dtype, x.to("cpu", torch.float64).dtype)
        print(torch.linalg.vector_norm(x.double()).dtype, x.grad.dtype)
    """
    result = run(code)
    assert result.stdout.split() == ["torch.float32"] * 4 + ["torch.float64"] * 3 + ["torch.float32"] * 2, result.stderr
    assert result.stderr.count("Device do not support double dtype now, dtype cast replace with float.") == 1


def test_numbers_on_the_host_are_no_tensors_of_the_device() -> None:
    assert (torch.ones(2, device="npu") * torch.tensor(2.0, dtype=torch.float64)).dtype == torch.float32


def test_the_norm_of_gradients_may_be_float64() -> None:
    # DeepSpeed keeps it so, and is tested on Ascend: deepspeedai/DeepSpeed#4567.
    total = torch.sum(torch.ones(2, dtype=torch.float64, device="npu"))
    clip = torch.clamp((total * total / 2 + 1e-6) / 1.0, min=1.0)
    assert clip.isfinite().item()
    assert not (clip != clip).item()
    assert not (clip == float("inf")).item()


def test_an_operator_of_which_nothing_is_known_on_a_line_runs() -> None:
    assert torch.normal(0.3, 1.6, (2, 3), dtype=torch.float32, device="npu").shape == (2, 3)


def test_refusals_hold_without_gradients() -> None:
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), pytest.raises(RefusedOnNpu):
            wide().repeat_interleave(2)


# Backward


class IndexesInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        torch.complex(gradient, gradient)[torch.tensor([0], device="npu")]
        return gradient


def test_user_written_backward_is_refused_as_forward() -> None:
    x = torch.ones(2, device="npu", requires_grad=True)
    loss = IndexesInBackward.apply(x).sum()
    with pytest.raises(RuntimeError, match=r"aclnnIndex .*DT_COMPLEX64"):
        loss.backward()


def test_hooks_are_refused_as_forward() -> None:
    x = torch.ones(2, device="npu", requires_grad=True)
    y = x * 2
    y.register_hook(lambda gradient: torch.mm(*[gradient.to(torch.int64)[None]] * 2))
    with pytest.raises(RuntimeError, match=r"aclnnMm .*DT_INT64"):
        y.sum().backward()


def test_backward_is_judged_by_the_backward_functions() -> None:
    # aclnnAtan takes float64; what its gradient is made of takes it too, and softmax's backward function does not.
    x = torch.ones(2, dtype=torch.float64, device="npu", requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.atan(x).sum().backward()
        assert x.grad is not None
        probabilities = torch.softmax(x, 0)
        with pytest.raises(RuntimeError, match=r"aclnnSoftmaxBackward .*DT_DOUBLE"):
            probabilities[0].backward()


@pytest.mark.filterwarnings("ignore")
def test_an_optimizer_is_refused() -> None:
    layer = nn.Parameter(wide())
    layer.grad = wide()
    with pytest.raises(RefusedOnNpu, match=r"aclnnForeach\w+ .*DT_DOUBLE"):
        torch.optim.AdamW([layer], foreach=True).step()


def test_autocast_is_judged_by_the_type_it_casts_to() -> None:
    with torch.autocast("npu", torch.float16):
        assert torch.mm(*[torch.ones(2, 2, device="npu")] * 2).dtype == torch.float16


# What runs elsewhere


def test_the_ai_cpu_warns_once_for_an_operator_with_its_place() -> None:
    x = torch.ones(3, dtype=torch.float64).npu()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            torch.sin(x)
    (warning,) = caught
    assert str(warning.message).startswith("sin on float64 runs on the AI CPU of atlas-a2, many times slower")
    assert warning.filename == __file__
    (counted,) = npu_emulator.slow_operators()
    assert (counted.name, counted.type, counted.where) == ("sin", "float64", "AI CPU")
    assert (counted.calls, counted.bytes) == (3, 3 * 3 * 8)


def test_an_operator_without_a_kernel_falls_back_to_the_host() -> None:
    x = torch.ones(3).npu()
    (message,) = warned(lambda: torch.hypot(x, x))
    assert message.startswith("CAUTION: The operator 'aten::hypot' is not currently supported on the NPU backend")
    (counted,) = npu_emulator.slow_operators()
    assert (counted.name, counted.where, counted.calls, counted.bytes) == ("hypot", "host", 1, 24)


def test_what_runs_on_the_npu_is_not_counted() -> None:
    x = torch.ones(2, 3).npu()
    assert warned(lambda: functional.gelu(x @ x.T + 1).softmax(-1).sum()) == []
    assert npu_emulator.slow_operators() == []


SLOW = """
import torch
x = torch.ones(1000, dtype=torch.int64, device="npu")
print(x.cumsum(0)[-1].item(), torch.hypot(x.float(), x.float()).shape)
"""


@pytest.mark.parametrize("to_file", [True, False])
def test_the_report_at_the_end(run: Run, tmp_path: Path, to_file: bool) -> None:
    path = tmp_path / "report.txt"
    result = run(SLOW, options=(f"--report={path}",) if to_file else ("--report",))
    assert result.returncode == 0, result.stderr
    text = path.read_text() if to_file else result.stderr
    rows = [line.split() for line in text.splitlines()]
    assert ["cumsum", "int64", "AI", "CPU", "1", "8,000"] in rows
    assert ["hypot", "host", "1", "8,000"] in rows


def test_a_report_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    result = run(SLOW, options=(f"--report={tmp_path / 'none' / 'report.txt'}",))
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


# Hardware lines, CANN, strictness


def test_not_strict_warns_instead(run: Run) -> None:
    code = """
        import torch
        x = torch.ones(3, dtype=torch.int16, device="npu")
        print((-x).sum().item(), x.neg().shape[0])
    """
    result = run(code, NPU_EMULATOR_STRICT="0")
    assert result.stdout.split() == ["-3", "3"], result.stderr
    assert result.stderr.count("neg: NPU function error") == 1


LINES = """
import torch
def attempt(call):
    try:
        call()
        return "runs"
    except RuntimeError as error:
        return "refused" if "not implemented for DT_" in str(error) else "missing"
pairs = torch.view_as_complex(torch.ones(4, 2)).npu()
print(
    attempt(lambda: pairs[torch.tensor([0]).npu()]),
    attempt(lambda: torch.ones(2, dtype=torch.bfloat16).npu().float()),
    attempt(lambda: torch.ones(2).npu().atanh()),
    torch.npu.get_device_name(),
)
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ascend-950dt", "runs runs missing Ascend950DT"),
        ("atlas-310p", "refused refused runs Ascend310P3"),
        pytest.param("atlas-a3", "refused runs runs Ascend910_9391", marks=pytest.mark.slow),
        pytest.param("atlas-910", "refused refused runs Ascend910A", marks=pytest.mark.slow),
    ],
)
def test_hardware_lines_differ(run: Run, line: str, expected: str) -> None:
    result = run(LINES, options=("--hardware", line))
    assert result.stdout.strip() == expected, result.stderr


@pytest.mark.parametrize("line", HARDWARE_LINES)
def test_every_line_has_a_column(line: str) -> None:
    table = OperatorTable(line)
    assert "add.Tensor" in set(table.names())
    entry = table.entry("add.Tensor")
    assert entry is not None
    assert "float32" in (entry.takes["self"] or {"float32"})


def test_cann_is_a_version(run: Run) -> None:
    result = run("", options=("--cann", "eight"))
    assert result.returncode == 2
    assert "cann='eight': expected a version of CANN such as 8.0" in result.stderr


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


def test_reports_table_is_well_formed() -> None:
    for entry in read_table("ascend_reports.json")["reports"]:
        assert entry["verdict"] in ("refused", "ai_cpu", "host", "runs", "apart")
        assert entry["ops"]
        assert entry["types"]
        assert entry["way_out"]
        assert set(entry.get("lines", ())) <= set(HARDWARE_LINES)
        assert all(link.startswith("https://github.com/") for link in entry["links"])


def test_functions_whose_code_was_read_are_functions_of_the_table() -> None:
    operators = read_table("ascend_operators.json")["operators"].values()
    known = {name for entry in operators for name in entry.get("aclnn", ())}
    for entry in read_table("ascend_reports.json")["agree"]:
        assert set(entry["functions"]) <= known
        assert entry["link"].startswith("https://github.com/")
