"""DP105: .cuda() and .is_cuda."""

from __future__ import annotations

import pytest

from porter.port import Plan, port_text
from tests.porter.rules.rewriting import befores, check_noop, check_reported, check_text_for_people, check_transformed

METHODS = [
    pytest.param("model.cuda()", "model.npu()", id="module"),
    pytest.param("x = x.cuda(0)", "x = x.npu(0)", id="number"),
    pytest.param("x.cuda(rank)", "x.npu(rank)", id="variable"),
    pytest.param("x.cuda(0, non_blocking=True)", "x.npu(0, non_blocking=True)", id="non-blocking"),
    pytest.param("x.cuda(non_blocking=True)", "x.npu(non_blocking=True)", id="keyword-alone"),
    pytest.param("x.cuda(device=1)", "x.npu(device=1)", id="device-keyword"),
    pytest.param('x.cuda("cuda:1")', 'x.npu("npu:1")', id="device-string"),
    pytest.param("x.cuda(*a, **k)", "x.npu(*a, **k)", id="starred"),
    pytest.param("x.cuda(None)", "x.npu(None)", id="none"),
    pytest.param("x.cuda( ) . half( )", "x.npu( ) . half( )", id="spaces"),
    pytest.param("nn.Linear(1, 1).cuda().half()", "nn.Linear(1, 1).npu().half()", id="chain"),
    pytest.param(
        "model.cuda().cuda(0, non_blocking=True)", "model.npu().npu(0, non_blocking=True)", id="within-another"
    ),
    pytest.param('foo("cuda").cuda()', 'foo("npu").npu()', id="around-a-device-string"),
    pytest.param('x.to("cuda").cuda().to("cuda")', 'x.to("npu").npu().to("npu")', id="between-device-strings"),
    pytest.param("f(x.cuda(), y.cuda())", "f(x.npu(), y.npu())", id="arguments"),
    pytest.param("x[0].cuda()", "x[0].npu()", id="entry"),
    pytest.param("(a + b).cuda()", "(a + b).npu()", id="sum"),
    pytest.param("[t.cuda() for t in ts]", "[t.npu() for t in ts]", id="comprehension"),
    pytest.param("x = lambda t: t.cuda()", "x = lambda t: t.npu()", id="lambda"),
    pytest.param("torch.ones(1).cuda()", "torch.ones(1).npu()", id="of-a-new-tensor"),
    pytest.param("torch.cuda.Stream().cuda()", "torch.npu.Stream().npu()", id="beside-the-module"),
    pytest.param("self.net.cuda()", "self.net.npu()", id="attribute"),
    pytest.param("cuda = True\nx.cuda()", "cuda = True\nx.npu()", id="beside-a-variable-of-that-name"),
    pytest.param('print(f"{x.cuda()} on cuda")', 'print(f"{x.npu()} on cuda")', id="f-string"),
    pytest.param(
        "x = (model\n    .eval()\n    .cuda()  # to the device\n)",
        "x = (model\n    .eval()\n    .npu()  # to the device\n)",
        id="over-lines",
    ),
    pytest.param("x.cuda(  # first\n    0,\n)", "x.npu(  # first\n    0,\n)", id="arguments-over-lines"),
    pytest.param("if x.is_cuda: pass", "if x.is_npu: pass", id="flag"),
    pytest.param("y = not x.is_cuda", "y = not x.is_npu", id="flag-not"),
    pytest.param("assert next(m.parameters()).is_cuda", "assert next(m.parameters()).is_npu", id="flag-chain"),
    pytest.param("[t for t in ts if t.is_cuda]", "[t for t in ts if t.is_npu]", id="flag-comprehension"),
]


@pytest.mark.parametrize(("before", "after"), METHODS)
def test_renamed(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("cuda()", id="function"),
        pytest.param("cuda(x)", id="function-of-a-tensor"),
        pytest.param("x.cuda", id="attribute"),
        pytest.param("if args.cuda: pass", id="option"),
        pytest.param("self.cuda = gpu", id="attribute-set"),
        pytest.param("f(cuda=True)", id="keyword"),
        pytest.param("x.cuda_()", id="another-method"),
        pytest.param("x.to_cuda()", id="another-method-that-ends-so"),
        pytest.param("x.cuda.synchronize()", id="below-an-attribute"),
        pytest.param("x.cpu()", id="host"),
        pytest.param("# x.cuda()", id="comment"),
        pytest.param('print("x.cuda()")', id="string"),
        pytest.param('"""x.cuda()"""', id="docstring"),
        pytest.param("import torch\ntorch.version.cuda()", id="below-a-module"),
        pytest.param("import torch\ntorch.nn.cuda()", id="below-torch"),
        pytest.param("from numba import cuda\ncuda.jit()", id="numba"),
        pytest.param("is_cuda", id="flag-as-a-variable"),
        pytest.param("is_cuda(x)", id="flag-as-a-function"),
        pytest.param("platform.is_cuda()", id="flag-as-a-method"),
        pytest.param("x.is_cuda_available", id="another-flag"),
        pytest.param("f(is_cuda=True)", id="flag-as-a-keyword"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("def cuda(x): ...\nmodel.cuda()", id="function"),
        pytest.param("class M:\n    def cuda(self):\n        self.net.cuda()", id="method"),
        pytest.param("class cuda: ...\nx.cuda()", id="class"),
        pytest.param("class M:\n    def is_cuda(self):\n        return self.x.is_cuda", id="flag"),
    ],
)
def test_a_file_with_a_cuda_of_its_own_is_for_a_person(text: str) -> None:
    assert "itself" in check_reported(text, "DP105", "warning").message


@pytest.mark.parametrize("target", ["xpu", "mps"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("x.cuda()", 'x.to("{0}")', id="nothing"),
        pytest.param("x.cuda(0)", 'x.to("{0}:0")', id="number"),
        pytest.param("x.cuda(rank)", "x.to(rank)", id="variable"),
        pytest.param("x.cuda(None)", 'x.to("{0}")', id="none"),
        pytest.param("x.cuda(device=None)", 'x.to(device="{0}")', id="none-keyword"),
        pytest.param('x.cuda("cuda")', 'x.to("{0}")', id="device-string"),
        pytest.param('x.cuda("cuda", True)', 'x.to("{0}", non_blocking=True)', id="two-arguments"),
        pytest.param("x.cuda(0, True)", 'x.to("{0}:0", non_blocking=True)', id="number-and-more"),
        pytest.param("x.cuda(None, later)", 'x.to("{0}", non_blocking=later)', id="none-and-more"),
        pytest.param("x.cuda(*arguments)", "x.to(*arguments)", id="star"),
        pytest.param("x.cuda(non_blocking=True)", 'x.to("{0}", non_blocking=True)', id="keyword"),
        pytest.param(
            "x.cuda(non_blocking=True, device=0)",
            'x.to(non_blocking=True, device="{0}:0")',
            id="device-behind-a-keyword",
        ),
        pytest.param("x.cuda(0, non_blocking=True)", 'x.to("{0}:0", non_blocking=True)', id="number-and-keyword"),
        pytest.param("x.cuda(**options)", 'x.to("{0}", **options)', id="options"),
        pytest.param("x.cuda().cuda(0)", 'x.to("{0}").to("{0}:0")', id="within-another"),
        pytest.param('f("cuda").cuda()', 'f("{0}").to("{0}")', id="around-a-device-string"),
        pytest.param("x = (m\n    .cuda()  # there\n)", 'x = (m\n    .to("{0}")  # there\n)', id="over-lines"),
        pytest.param("x.is_cuda", "x.is_{0}", id="flag"),
    ],
)
def test_a_target_without_the_method(before: str, after: str, target: str) -> None:
    check_transformed(before, after.format(target), target)


def test_a_target_with_one_device_has_no_second() -> None:
    check_reported("x.cuda(1)", "DP105", "error", "mps")
    check_reported("x.cuda(device=2)", "DP105", "error", "mps")
    check_reported('x.cuda("cuda:1")', "DP105", "error", "mps")
    check_transformed("x.cuda(1)", 'x.to("xpu:1")', "xpu")


@pytest.mark.parametrize("before", befores(METHODS))
def test_left_alone_as_text_for_people(before: str) -> None:
    check_text_for_people(before)


OF_A_CLASS = [
    pytest.param("Batch().cuda()", id="made-here"),
    pytest.param("b = Batch(1)\nb.cuda()", id="made-before"),
    pytest.param("for batch in loader:\n    batch.cuda()", id="by-its-name"),
    pytest.param("data.Batch().cuda()", id="of-a-module"),
]


@pytest.mark.parametrize("text", OF_A_CLASS)
def test_a_class_of_another_file_that_has_a_cuda_of_its_own(text: str) -> None:
    found = port_text(text, Plan("npu", classes=frozenset({"Batch"})))
    assert (found.text, [one.severity for one in found.findings]) == (text, ["warning"])


@pytest.mark.parametrize(
    "text", ["x.cuda()", "b = Net()\nb.cuda()", "batches.cuda()", "batch = torch.ones(1)\nbatch.cuda()"]
)
def test_objects_of_other_classes_are_ported(text: str) -> None:
    assert ".npu()" in port_text(text, Plan("npu", classes=frozenset({"Batch"}))).text
