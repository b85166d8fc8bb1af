"""DP304: random state saved without saying whose."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP304"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("with torch.random.fork_rng():\n    pass", 1),
        ("with torch.random.fork_rng(devices=[device]):\n    pass", 1),
        ("with torch.random.fork_rng([device], True):\n    pass", 1),
        ("from torch.random import fork_rng\nwith fork_rng():\n    pass", 2),
        ("from torch import random\nwith random.fork_rng(enabled=True):\n    pass", 2),
    ],
)
def test_state_saved_without_saying_whose_is_a_warning(text, line):
    assert check_reported(text, CODE, "warning", line).way_out == 'device_type="npu"'


@pytest.mark.parametrize(
    "text",
    [
        'with torch.random.fork_rng(device_type="cuda"):\n    pass',
        "with torch.random.fork_rng(devices=[device], device_type=device.type):\n    pass",
        "with torch.random.fork_rng(devices=[]):\n    pass",
        "with torch.random.fork_rng(()):\n    pass",
        "with torch.random.fork_rng(**options):\n    pass",
        "from .random import fork_rng\nwith fork_rng():\n    pass",
        "import random\nwith random.fork_rng(enabled=True):\n    pass",
        "from torch.random import fork_rng",
    ],
)
def test_saying_whose_is_left_alone(text):
    check_silent(text, CODE)


def test_it_holds_where_it_was_seen():
    check_reported("torch.random.fork_rng()", CODE, "warning", target="xpu")
    check_silent("torch.random.fork_rng()", CODE, target="mps")
