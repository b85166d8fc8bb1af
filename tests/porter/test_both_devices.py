"""Files that serve CUDA and the target already: what their author wrote for CUDA stays."""

from __future__ import annotations

import pytest

from porter.findings import SUPPORTS_BOTH, Finding
from porter.port import Plan, port_text

NPU = Plan("npu")


def left(text: str, plan: Plan = NPU) -> list[Finding]:
    """The findings of a file that stays as it is, and is the same to a second look."""
    ported = port_text(text, plan)
    assert ported.text == text
    assert [finding for finding in ported.findings if finding.is_fix] == []
    return ported.findings


def both(findings: list[Finding]) -> list[str]:
    return [finding.message for finding in findings if finding.code == SUPPORTS_BOTH]


FLAGS = """\
import torch

IS_CUDA = torch.cuda.is_available()
IS_NPU = torch.npu.is_available()


def get_device():
    if IS_CUDA:
        return "cuda"
    elif IS_NPU:
        return "npu"
    return "cpu"


def get_backend():
    return "nccl" if IS_CUDA else "hccl" if IS_NPU else "gloo"


def synchronize():
    if IS_CUDA:
        torch.cuda.synchronize()
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(FLAGS, id="flags"),
        pytest.param('device = "npu" if torch.npu.is_available() else "cuda"\n', id="conditional"),
        pytest.param('device = "cuda" if torch.cuda.is_available() else "npu"\n', id="conditional-other-way"),
        pytest.param('backend = "hccl" if a else "nccl"\n', id="backends"),
        pytest.param('d = "npu:%d" % r if n else "cuda:%d" % r\n', id="percent"),
        pytest.param('d = "npu:{}".format(r) if n else "cuda:{}".format(r)\n', id="format"),
        pytest.param('class Device(Enum):\n    CUDA = "cuda"\n    NPU = "npu"\n', id="enum"),
        pytest.param("a = [ProfilerActivity.CUDA, ProfilerActivity.NPU]\n", id="activities"),
        pytest.param('BACKENDS = {"cuda": "nccl", "npu": "hccl"}\n', id="table"),
        pytest.param(
            "if is_npu_available():\n    x = x.npu()\nelse:\n    torch.cuda.empty_cache()\n    x = x.cuda()\n",
            id="branches",
        ),
        pytest.param('def f():\n    if is_npu():\n        return "npu"\n    return "cuda"\n', id="early-return"),
        pytest.param(
            'def f():\n    if torch.cuda.is_available():\n        return "cuda"\n'
            '    if torch.npu.is_available():\n        return "npu"\n',
            id="one-after-the-other",
        ),
        pytest.param(
            "class CudaPlatform:\n    def wait(self):\n        torch.cuda.synchronize()\n"
            "class NpuPlatform:\n    def wait(self):\n        torch.npu.synchronize()\n",
            id="classes",
        ),
        pytest.param(
            "def is_cuda_available():\n    return torch.cuda.is_available()\n"
            "def is_npu_available():\n    return torch.npu.is_available()\n",
            id="functions",
        ),
        pytest.param('try:\n    import torch_npu\n    d = "npu"\nexcept ImportError:\n    d = "cuda"\n', id="tried"),
        pytest.param(
            'try:\n    import torch_npu\nexcept ImportError:\n    torch_npu = None\n    d = "cuda"\n', id="none"
        ),
        pytest.param(
            'v = os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("ASCEND_RT_VISIBLE_DEVICES")\n', id="either"
        ),
        pytest.param(
            'v = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))\n', id="default"
        ),
        pytest.param("from torch import cuda, npu\nif cuda.is_available():\n    cuda.empty_cache()\n", id="modules"),
        pytest.param(
            'match d:\n    case "cuda":\n        torch.cuda.empty_cache()\n'
            '    case "npu":\n        torch.npu.empty_cache()\n',
            id="match",
        ),
        pytest.param('match d:\n    case "npu":\n        x.npu()\n    case _:\n        x.cuda()\n', id="match-others"),
    ],
)
def test_a_file_that_supports_both_is_left_alone_with_one_finding(text: str) -> None:
    assert len(both(left(text))) == 1
    assert {finding.code for finding in left(text)} == {SUPPORTS_BOTH}


def test_it_counts_the_places() -> None:
    assert both(left(FLAGS)) == ["supports npu already: 3 places"]
    assert both(left('device = "npu" if n else "cuda"\n')) == ["supports npu already: 1 place"]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        pytest.param('prompt = "npu"\nx.to("cuda")\n', 'prompt = "npu"\nx.to("npu")\n', id="prompt"),
        pytest.param("import torch_npu\nx.cuda()\n", "import torch_npu\nx.npu()\n", id="imported"),
        pytest.param('device = "cuda" if n else "cpu"\n', 'device = "npu" if n else "cpu"\n', id="one-device"),
        pytest.param("# npu or cuda\nx.cuda()\n", "# npu or cuda\nx.npu()\n", id="comment"),
        pytest.param('A = "cuda"\nB = "cpu"  # npu\n', 'A = "npu"\nB = "cpu"  # npu\n', id="constants"),
        pytest.param("if input_x:\n    x.cuda()\n", "if input_x:\n    x.npu()\n", id="no-word"),
        pytest.param('{"device": "cuda", "npus": 8}\n', '{"device": "npu", "npus": 8}\n', id="count"),
        pytest.param(
            'try:\n    import torch_npu\nexcept ImportError:\n    pass\nd = "cuda"\n',
            'try:\n    import torch_npu\nexcept ImportError:\n    pass\nd = "npu"\n',
            id="tried-and-done",
        ),
        pytest.param(
            'v = os.environ.get("CUDA_VISIBLE_DEVICES") or "0"\n',
            'v = os.environ.get("ASCEND_RT_VISIBLE_DEVICES") or "0"\n',
            id="or-a-number",
        ),
        pytest.param("from torch import cuda, nn\n", "from torch import npu, nn\n", id="another-module"),
        pytest.param(
            'match d:\n    case 1:\n        x.to("cuda")\n    case 2:\n        y = "cpu"\n',
            'match d:\n    case 1:\n        x.to("npu")\n    case 2:\n        y = "cpu"\n',
            id="match-numbers",
        ),
        pytest.param('x.to("npu")\ny.to("cuda")\n', 'x.to("npu")\ny.to("npu")\n', id="beside"),
    ],
)
def test_a_file_that_only_names_the_target_is_ported(text: str, after: str) -> None:
    ported = port_text(text, NPU)
    assert ported.text == after
    assert both(ported.findings) == []


def test_what_names_cuda_alone_is_ported_beside_it() -> None:
    text = 'device = "npu" if n else "cuda"\nx.cuda()\ny.cuda()\n'
    ported = port_text(text, NPU)
    assert ported.text == text.replace(".cuda()", ".npu()")
    assert both(ported.findings) == both(left(ported.text)) == ["supports npu already: 1 place"]


def test_what_is_little_beside_it_is_left_and_told() -> None:
    text = FLAGS + "\n\nstream = torch.cuda.Stream()\n"
    findings = left(text)
    assert both(findings) == [
        "supports npu already: 3 places",
        "the file was left as it is, and names CUDA alone on line 24",
    ]


def test_the_rule_can_be_ignored() -> None:
    from porter.rules import all_rules

    codes = frozenset(rule.code for rule in all_rules()) - {SUPPORTS_BOTH}
    assert port_text('backend = "hccl" if a else "nccl"\n', Plan("npu", codes=codes)).text.count("hccl") == 2


KERNEL = """\
import torch
def grouped(x):
    if x.device.type != "cuda":
        return plain(x)
    torch.cuda.nvtx.mark("grouped")
    return kernel(x)
"""


def test_a_comparison_that_guards_what_the_target_lacks_stays() -> None:
    ported = port_text(KERNEL, NPU)
    assert ported.text == KERNEL
    (finding,) = [finding for finding in ported.findings if finding.code == "DP102"]
    assert finding.message == "the branch for CUDA calls what Ascend NPU lacks; the comparison was left as it is"
    equal = KERNEL.replace("!=", "==").replace("return plain(x)", 'torch.cuda.nvtx.mark("a")')
    assert port_text(equal, NPU).text == equal


@pytest.mark.parametrize("device", ["x.device \\\n        .type", "(\n        x.device.type)", "x.device.type"])
def test_a_comparison_over_several_lines_that_guards_it_stays_too(device: str) -> None:
    kernel = KERNEL.replace("x.device.type", device)
    assert kernel.count(device) == 1
    assert port_text(kernel, NPU).text == kernel


@pytest.mark.parametrize(
    ("imported", "called", "device"),
    [
        ("import grouped_gemm", "grouped_gemm.ops.gmm(x)", "cuda"),
        ("from flash_attn import flash_attn_func", "flash_attn_func(x)", "cuda"),
        ("import einops", "einops.rearrange(x)", "npu"),
        ("import mylib", "torch.ops.mylib.grouped(x)", "cuda"),
        ("import mylib", "torch.ops.aten.mm(x, x)", "npu"),
        ("import mylib", "torch._grouped_mm(x, x)", "cuda"),
        ("import mylib", "torch._foreach_add(x, x)", "npu"),
        ("import mylib", "torch.mm(x, x)", "npu"),
        ("from mylib import _C", "_C.grouped(x)", "cuda"),
        ("from .moe_kernels import grouped_gemm", "grouped_gemm(x)", "cuda"),
        ("import grouped_cuda_ext", "grouped_cuda_ext.forward(x)", "cuda"),
        ("from .extras import text", "text(x)", "npu"),
        ("from .context import nested", "nested(x)", "npu"),
    ],
)
def test_a_comparison_that_guards_a_package_for_cuda_stays(imported: str, called: str, device: str) -> None:
    kernel = KERNEL.replace('    torch.cuda.nvtx.mark("grouped")\n', "").replace("kernel(x)", called)
    assert f'!= "{device}"' in port_text(f"{imported}\n{kernel}", NPU).text


def test_a_comparison_that_guards_nothing_of_the_kind_is_ported() -> None:
    text = KERNEL.replace('torch.cuda.nvtx.mark("grouped")', "torch.cuda.synchronize()")
    assert port_text(text, NPU).text == text.replace("cuda", "npu")
    before = KERNEL.replace("return plain(x)", 'torch.cuda.nvtx.mark("a")').replace(
        '    torch.cuda.nvtx.mark("grouped")\n', ""
    )
    assert '!= "npu"' in port_text(before, NPU).text
