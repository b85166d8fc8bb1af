"""DP601: results whose shape depends on the values."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import check_left_alone, findings

CODE = "DP601"
MODULE = """\
import numpy as np
import torch
class M(torch.nn.Module):
    def {name}(self, x: torch.Tensor, mask: torch.Tensor, names, n: int):
        {line}
"""


@pytest.mark.parametrize(
    "line",
    [
        "return x[mask > 0]",
        "return x[~(mask == 0)]",
        "keep = (x > 0) & (x < 1); return x[keep]",
        "return x.nonzero()",
        "return torch.nonzero(x > 0)",
        "return torch.where(x > 0)",
        "return torch.masked_select(x, mask)",
        "return torch.unique(x)",
        "y = torch.sin(x); return y.argwhere()",
    ],
)
def test_in_forward(line):
    text = MODULE.format(name="forward", line=line)
    assert [(one.severity, one.line) for one in findings(text, CODE)] == [("note", 5)]
    check_left_alone(MODULE.format(name="reset", line=line), CODE)  # not run at every step


@pytest.mark.parametrize(
    "line",
    [
        "return x[0]",
        "return x[..., :n]",
        "return x[names > 0]",
        "return names[n == 0]",
        "return torch.where(x > 0, x, 0)",
        "return np.unique(names)",
        "return np.nonzero(names)",
        "return torch.unique(torch.arange(4))",  # made on the host
        "return torch.unique(x.cpu())",
        "return x.cpu().nonzero()",
        "return names.nonzero()",
        "return np.where(names)",
        "raise ValueError(x[mask > 0])",
    ],
)
def test_what_the_host_knows_is_left_alone(line):
    check_left_alone(MODULE.format(name="forward", line=line), CODE)


def test_in_what_forward_calls():
    text = (
        MODULE.format(name="forward", line="return pick(x)") + "\ndef pick(x: torch.Tensor):\n    return x.nonzero()\n"
    )
    assert [one.line for one in findings(text, CODE)] == [8]
