"""What one file of a tree defines, and another means."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.definitions import defined_in
from porter.port import Plan, port_text

FLAGS = "import torch\nIS_CUDA = torch.cuda.is_available()\nIS_NPU = torch.npu.is_available()\n"
QUESTIONS = "def is_cuda_available(): ...\ndef is_npu_available(): ...\n"


@pytest.mark.parametrize(
    ("text", "defined"),
    [
        (FLAGS, ["npu:IS_CUDA"]),
        (QUESTIONS, ["npu:is_cuda_available"]),
        (QUESTIONS.replace("npu", "xpu"), ["xpu:is_cuda_available"]),
        ("class Batch:\n    def cuda(self): ...\n" + FLAGS, ["Batch", "npu:IS_CUDA"]),
        (FLAGS.replace("IS_NPU", "ON_NPU"), []),
        (FLAGS.replace("IS_", "WITH_"), []),
        ("def f():\n    is_cuda = 1\n    is_npu = 2\n", []),
        ("is_cuda = (\nis_npu = 1\n", []),
    ],
)
def test_defined(tmp_path: Path, text: str, defined: list[str]) -> None:
    path = tmp_path / "a.py"
    path.write_text(text)
    assert defined_in(str(path)) == defined


def test_nothing_in_what_is_not_there(tmp_path: Path) -> None:
    assert defined_in(str(tmp_path / "b.py")) == []


USES = "import torch\nfrom .device import IS_CUDA\n"
PLAN = Plan("npu", flags=frozenset({"npu:IS_CUDA"}))


@pytest.mark.parametrize(
    "text",
    [
        USES + "if IS_CUDA:\n    torch.cuda.empty_cache()\n",
        USES + 'x = "cuda" if IS_CUDA else "cpu"\nx_device = x\n',
        USES + "if IS_CUDA and y:\n    x = y.cuda()\n",
        USES.replace("IS_CUDA", "IS_CUDA as there") + "if there:\n    x = y.cuda()\n",
    ],
)
def test_what_is_done_for_cuda_by_a_flag_of_another_file_stays(text: str) -> None:
    ported = port_text(text, PLAN)
    assert ported.text == text
    assert [one.message for one in ported.findings if one.code == "DP116"] == ["supports npu already: 1 place"]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        (USES + "if IS_CUDA:\n    torch.cuda.empty_cache()\n", Plan("npu")),
        (USES + "if IS_CUDA:\n    torch.cuda.empty_cache()\n", Plan("musa", flags=PLAN.flags)),
        (USES + "if not IS_CUDA:\n    torch.cuda.empty_cache()\n", PLAN),
        (USES + "torch.cuda.empty_cache()\n", PLAN),
        ("import torch\nIS_CUDA = 1\nif IS_CUDA:\n    torch.cuda.empty_cache()\n", PLAN),
    ],
    ids=["no-flags", "another-target", "the-opposite", "without-asking", "its-own-name"],
)
def test_else_it_is_ported(text: str, plan: Plan) -> None:
    assert f"torch.{plan.target}.empty_cache()" in port_text(text, plan).text
