"""What only gets another name: whatever stands around the name stays as it stands."""

from __future__ import annotations

import pytest

from porter.new_names import CannotRewrite, change_import, rename_chain, rename_method, replace_start


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"cuda"', '"npu"'),
        ("'cuda:1'", "'npu:1'"),
        ('f"cuda:{x}"', 'f"npu:{x}"'),
        ('rb"""cuda"""', 'rb"""npu"""'),
        ('("cuda:") + x', '("npu:") + x'),
        ('(  # "cuda"\n "cuda:"\n) + str(i)', '(  # "cuda"\n "npu:"\n) + str(i)'),
        ('"cuda"\\\n":0"', '"npu"\\\n":0"'),
        ('"cuda:{}".format("cuda")', '"npu:{}".format("cuda")'),
    ],
)
def test_the_start_of_a_literal(before: str, after: str) -> None:
    assert replace_start(before, "cuda", "npu") == after


@pytest.mark.parametrize("text", ['"" "cuda"', 'x + "cuda"', r'"\x63uda"', "cuda", '"a cuda"'])
def test_a_literal_that_does_not_begin_so_as_written(text: str) -> None:
    with pytest.raises(CannotRewrite, match="does not begin with 'cuda' as written"):
        replace_start(text, "cuda", "npu")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x.cuda", "x.npu"),
        ("x.cuda(1).cuda", "x.cuda(1).npu"),
        ("x . cuda", "x . npu"),
        ("x.ｃuda", "x.npu"),
        ("x.\\\n  cuda", "x.\\\n  npu"),
        ("x.\\\r\n  cuda", "x.\\\r\n  npu"),
        ("x \\\r.\\\r  cuda", "x \\\r.\\\r  npu"),
        ("x.  # a.cuda\n  cuda", "x.  # a.cuda\n  npu"),
        ("x # .cuda\n.cuda", "x # .cuda\n.npu"),
    ],
)
def test_a_method(before: str, after: str) -> None:
    assert rename_method(before, "cuda", "npu") == after


@pytest.mark.parametrize("text", ["cuda", "x.cuda()", "(x.cuda)", "x.cud", "x.cuda.y", "x.is_cuda"])
def test_what_is_no_method(text: str) -> None:
    with pytest.raises(CannotRewrite):
        rename_method(text, "cuda", "npu")


@pytest.mark.parametrize(
    ("before", "old", "names", "after"),
    [
        ("torch.cuda.CUDAGraph", ("cuda", "CUDAGraph"), ("npu", "NPUGraph"), "torch.npu.NPUGraph"),
        ("cuda.Event", ("cuda", "Event"), ("npu", "Event"), "npu.Event"),
        ("nccl", ("nccl",), ("HCCL",), "HCCL"),
        ("f(torch.cuda).cuda.Event", ("Event",), ("E",), "f(torch.cuda).cuda.E"),
        ("torch . cuda\\\n. Event", ("cuda", "Event"), ("npu", "E"), "torch . npu\\\n. E"),
        ("(torch.cuda).Event", ("cuda", "Event"), ("npu", "E"), "(torch.npu).E"),
        ("((cuda)).Event", ("cuda", "Event"), ("npu", "E"), "((npu)).E"),
        ("torch # .a.b\n.cuda.Event", ("cuda", "Event"), ("npu", "E"), "torch # .a.b\n.npu.E"),
        ("(torch\n.cuda # z.q\n)\n.Event", ("cuda", "Event"), ("npu", "E"), "(torch\n.npu # z.q\n)\n.E"),
        ("torch.ｃuda.Event", ("cuda", "Event"), ("npu", "E"), "torch.npu.E"),
        ("torch.cuda.amp.autocast", ("cuda", "amp", "autocast"), ("amp", "autocast"), "torch.amp.autocast"),
        ("torch.cuda.Event", ("cuda", "Event"), ("npu", "a", "E"), "torch.npu.a.E"),
        ("(torch.cuda).Event", ("cuda", "Event"), ("npu", "a", "E"), "(torch.npu.a.E)"),
    ],
)
def test_the_end_of_a_chain(before: str, old: tuple[str, ...], names: tuple[str, ...], after: str) -> None:
    assert rename_chain(before, old, names) == after


@pytest.mark.parametrize(
    ("text", "old", "names"),
    [
        ("Event", ("cuda", "Event"), ("npu", "E")),
        ("f().Event", ("f", "Event"), ("npu", "E")),
        ("torch.cuda.Even", ("cuda", "Event"), ("npu", "E")),
        ("torch.xcuda.Event", ("cuda", "Event"), ("npu", "E")),
        ("cuda.Event", ("cuda", "Event"), ("npu", "a", "E")),
    ],
)
def test_a_chain_that_does_not_end_so(text: str, old: tuple[str, ...], names: tuple[str, ...]) -> None:
    with pytest.raises(CannotRewrite, match=r"is not a chain of 2 attributes|does not end in"):
        rename_chain(text, old, names)


@pytest.mark.parametrize(
    ("before", "module", "renamed", "after"),
    [
        ("from torch import cuda", "torch", (("cuda", "npu as cuda"),), "from torch import npu as cuda"),
        ("from torch import cuda", "torch", (("cuda", "npu"),), "from torch import npu"),
        (
            "from torch.cuda.amp import (  # é.cuda\n  é, autocast,\n GradScaler as G)",
            "torch.npu.amp",
            (("autocast", "autocast"), ("GradScaler", "NPUScaler as GradScaler")),
            "from torch.npu.amp import (  # é.cuda\n  é, autocast,\n NPUScaler as G)",
        ),
        (
            "from torch.npu import NPUGraph as CUDAGraph",
            "torch.cuda",
            (("NPUGraph", "CUDAGraph"),),
            "from torch.cuda import CUDAGraph",
        ),
        ("from torch . cuda import(X)", "torch.npu", (), "from torch.npu import(X)"),
        ("from\\\n torch.cuda \\\n import *", "torch.npu", (), "from\\\n torch.npu \\\n import *"),
        (
            "from torch.cuda import (\r\n  A,\r\n  B,\r\n)",
            "torch.npu",
            (("B", "C as B"),),
            "from torch.npu import (\r\n  A,\r\n  C as B,\r\n)",
        ),
        ("import os, torch . cuda as tc", "", (("torch.cuda", "torch.npu"),), "import os, torch.npu as tc"),
    ],
)
def test_an_import(before: str, module: str, renamed: tuple[tuple[str, str], ...], after: str) -> None:
    assert change_import(before, module, renamed) == after
