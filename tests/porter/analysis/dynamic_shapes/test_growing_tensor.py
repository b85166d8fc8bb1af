"""DP603: tensors that grow at every turn of a loop."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import check_left_alone, findings

CODE = "DP603"
LOOP = "import torch\ndef f(xs, y, skips):\n    for x in range(xs):\n        {line}\n    return y\n"


@pytest.mark.parametrize(
    "line",
    ["y = torch.cat([y, x])", "y = torch.cat((x, y), dim=-1)", "y = torch.hstack([y, x])"],
)
def test_it_is_reported(line):
    assert [(one.severity, one.line) for one in findings(LOOP.format(line=line), CODE)] == [("note", 4)]


@pytest.mark.parametrize(
    "line",
    [
        "y = torch.cat([x, x])",
        "z = torch.cat([y, x])",
        "y = torch.cat([y, x]); y = y[1:]",  # a window of one size
        "y = torch.cat([y, skips.pop()], 1); y = x(y)",  # the layers of a U-Net
        "y = torch.stack([y, x])",
        "y = torch.cat(skips)",
    ],
)
def test_what_does_not_grow_is_left_alone(line):
    check_left_alone(LOOP.format(line=line), CODE)


def test_over_the_few_parts_of_one_thing():
    check_left_alone(LOOP.replace("range(xs)", "self.conditions").format(line="y = torch.cat([y, x])"), CODE)


def test_outside_of_a_loop():
    check_left_alone("import torch\ndef f(x, y):\n    y = torch.cat([y, x])\n    return y\n", CODE)
