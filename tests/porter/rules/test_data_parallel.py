"""DP215: one process for several devices."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP215"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import torch\nm = torch.nn.DataParallel(m)", 2),
        ("from torch import nn\nm = nn.DataParallel(m)", 2),
        ("from torch.nn import DataParallel", 1),
        ("import torch\nm = torch.nn.parallel.DataParallel(m)", 2),
    ],
)
def test_it_is_an_error_that_names_ddp(text: str, line: int) -> None:
    assert "DistributedDataParallel" in check_reported(text, CODE, "error", line).way_out


@pytest.mark.parametrize(
    "text",
    [
        "import torch\nm = torch.nn.parallel.DistributedDataParallel(m)",
        "import torch\nif isinstance(m, torch.nn.DataParallel): pass",
        "import torch\nif isinstance(m, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)): pass",
        "from mylib import DataParallel\nDataParallel(m)",
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)
