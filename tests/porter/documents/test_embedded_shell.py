"""Shell in Markdown and in notebooks."""

from __future__ import annotations

import json

import pytest

from porter.documents import port_bytes
from porter.port import Plan
from tests.porter.documents.porting import check_reported, check_silent, check_transformed, ported

NAMES = ({"v": "CUDA_VISIBLE_DEVICES", "d": "cuda"}, {"v": "ASCEND_RT_VISIBLE_DEVICES", "d": "npu"})


@pytest.mark.parametrize(
    "form",
    [
        "```bash\n{v}=0 python a.py --device {d}\n```\n",
        "```sh\n$ {v}=0 python a.py\n$ python a.py --device={d}\n```\n",
        "- item\n\n  ```shell\n  python a.py --device {d}\n  ```\n",
        "```bash\naccelerate launch train.py --device {d}\n```\n\n```python\nx.to('{d}')\n```\n",
    ],
)
def test_blocks_of_markdown(form: str) -> None:
    check_transformed("r.md", form.format(**NAMES[0]), form.format(**NAMES[1]))


@pytest.mark.parametrize(
    "text",
    ["```\npython a.py --device cuda\n```\n", "```bash\npython a.py\n```\n", "```console\n$ a --device cuda\n```\n"],
)
def test_other_blocks(text: str) -> None:
    check_silent("r.md", text)


def test_a_block_that_is_no_bash_is_looked_through() -> None:
    check_reported("r.md", "```bash\nif [ x; run --device cuda\n```\n", "DP418", "note", 2)


def _notebook(*sources: str) -> str:
    cells = [
        {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": one} for one in sources
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


@pytest.mark.parametrize(
    "form",
    [
        "!{v}=1 accelerate launch t.py --device {d}",
        "x.to('{d}')\n!python a.py --device {d}\ny = 1",
        "%env {v}=0",
        "%set_env {v} 0",
        "out = !python a.py --device {d}",
        "%%bash\nexport {v}=0\npython a.py --device {d}\n",
        "if True:\n    !python a.py --device={d} --n {{n}}",
    ],
)
def test_cells_of_notebooks(form: str) -> None:
    before, after = (_notebook(form.format(n="{n}", **names)) for names in NAMES)
    first = ported("n.ipynb", before)
    assert json.loads(first.data) == json.loads(after)
    assert port_bytes("n.ipynb", first.data, Plan("npu")).data == first.data
    assert port_bytes("n.ipynb", first.data, Plan("cuda")).data.decode() == before


def test_a_tool_in_a_cell_is_placed_in_it() -> None:
    (found,) = ported("n.ipynb", _notebook("x = 1", "y = 1\n!nvidia-smi")).findings
    assert (found.code, found.cell, found.line, found.column) == ("DP406", 2, 2, 2)


@pytest.mark.parametrize(
    "source", ["%%html\n<b>--device cuda</b>", "!pip list", "%matplotlib inline", "x = '!a --device'"]
)
def test_other_cells(source: str) -> None:
    check_silent("n.ipynb", _notebook(source))
