"""Names in f-strings over several lines, however the lines end: before Python 3.12, `ast` has their places wrong."""

from __future__ import annotations

import random
import re

import pytest

from porter.port import Plan, port_text

SCRIPT = """\
import torch
a = f'''{
y
.cuda()
}'''
b = f'''é
{ torch
  .cuda
  .memory_allocated() }b
{ (y.cuda(),
   y.is_cuda) }'''
c = (f"a{y . cuda()}" # "cuda"
     f'''
{y
.is_cuda:{
y.is_cuda}}{f"{y.cuda()}"}
''')
"""


def ported(text: str) -> str:
    """What it has to be: every name, but none in the comment."""
    return re.sub(r'(?<!")cuda', "npu", text)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_names_over_several_lines(newline: str) -> None:
    text = SCRIPT.replace("\n", newline)
    assert port_text(text, Plan("npu")).text == ported(text)


@pytest.mark.parametrize("seed", range(8))
def test_lines_that_end_in_different_ways(seed: int) -> None:
    choose = random.Random(seed).choice
    text = "".join(choose(["\n", "\r\n"]) if one == "\n" else one for one in SCRIPT)
    assert port_text(text, Plan("npu")).text == ported(text)
