"""The edits that findings tell of, all made together, are what the tool does itself."""

from __future__ import annotations

import json
import re

import pytest

from porter.documents import port_bytes
from porter.findings import Finding
from porter.port import Plan

GUIDE = """\
import torch
from diffsynth.pipelines.wan_video import WanVideoPipeline

pipe = WanVideoPipeline.from_pretrained("模型", torch_dtype=torch.bfloat16, device="cuda")
limit = torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 2
both = torch.cuda.Stream("cuda"), x.cuda(), f"cuda:{rank}"
"""
CASES = {
    "a.py": GUIDE,
    "windows.py": GUIDE.replace("\n", "\r\n"),
    "no_newline.py": 'x = Model().to("cuda")',
    "a.md": f"Text\n\n> ```python\n> x.to('cuda')\n> ```\n\n```python\n{GUIDE}```\n",
    "a.sh": "export CUDA_VISIBLE_DEVICES=0\npython a.py --device cuda\n",
    "a.yaml": "device: cuda\n",
    "Makefile": "run:\n\tpython a.py --device cuda\n",
}


def made(text: str, findings: tuple[Finding, ...]) -> str:
    """The text with every edit, each place once, from the last to the first."""
    starts = [0]
    for line in re.findall(r".*?(?:\r\n|\r|\n)", text, re.DOTALL):
        starts.append(starts[-1] + len(line))
    edits = {edit for finding in findings for edit in finding.edits}
    for edit in sorted(edits, reverse=True):
        start, end = starts[edit.line - 1] + edit.column - 1, starts[edit.end_line - 1] + edit.end_column - 1
        text = text[:start] + edit.content + text[end:]
    return text


@pytest.mark.parametrize("name", CASES)
def test_all_edits_together_are_the_port(name: str) -> None:
    text = CASES[name]
    done = port_bytes(name, text.encode(), Plan("npu", shows_edits=True))
    assert done.data.decode() != text
    assert made(text, done.findings) == done.data.decode()
    without = port_bytes(name, text.encode(), Plan("npu"))
    assert without.data == done.data
    assert not any(finding.edits for finding in without.findings)
    assert [finding._replace(edits=()) for finding in done.findings] == list(without.findings)


def test_in_a_notebook_they_count_in_the_cell() -> None:
    cells = [{"cell_type": "code", "source": [text]} for text in ("import torch\n", 'y = 1\nx.to("cuda")')]
    done = port_bytes("a.ipynb", json.dumps({"cells": cells}).encode(), Plan("npu", shows_edits=True))
    (finding,) = done.findings
    assert (finding.cell, finding.line) == (2, 2)
    assert made('y = 1\nx.to("cuda")', done.findings) == 'y = 1\nx.to("npu")'


def test_keeping_cuda_has_its_own() -> None:
    text = 'import torch\n\nx.to("cuda")\n'
    done = port_bytes("a.py", text.encode(), Plan("npu", keep_cuda=True, shows_edits=True))
    assert made(text, done.findings) == done.data.decode()
