"""DP303: three-dimensional convolution."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP303"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("conv = torch.nn.Conv3d(16, 32, 3)", 1),
        ("import torch.nn as nn\nconv = nn.Conv3d(16, 32, 3)", 2),
        ("from torch import nn\nclass CausalConv3d(nn.Conv3d):\n    pass", 2),
        ("from torch.nn import (\n    Conv2d,\n    Conv3d,\n)", 3),
        ("import torch.nn.functional as F\ny = F.conv3d(x, weight)", 2),
        ("y = torch.conv3d(x, weight)", 1),
    ],
)
def test_the_convolution_is_a_warning(text, line):
    check_reported(text, CODE, "warning", line)


@pytest.mark.parametrize(
    "text",
    [
        "conv = torch.nn.Conv2d(16, 32, 3)",
        "import jax.nn as nn\nconv = nn.Conv3d(16, 32, 3)",
        "conv = Conv3d(16, 32, 3)",
        "from .nn import Conv3d",
        "from torch import nn\ndef f(conv: nn.Conv3d) -> nn.Conv3d:\n    pass",
        "from torch import nn\nif isinstance(conv, nn.Conv3d):\n    pass",
        "from torch import nn\nif isinstance(conv, (nn.Conv2d, nn.Conv3d)):\n    pass",
        "from torch import nn\nconv: nn.Conv3d | None = None",
        "import torch.nn.functional as F\ny = F.conv2d(x, weight)",
        "from torch import nn\nclass CausalConv3d(nn.Module):\n    pass",
        "from torch import nn\nTYPES = [nn.Linear, nn.Conv3d]",
        "from torch import nn\nif type(layer) in (nn.Conv2d, nn.Conv3d):\n    pass",
        "from torch import nn\nif type(layer) is nn.Conv3d:\n    pass",
        "from torch import nn\nranks = {nn.Conv2d: 2, nn.Conv3d: 3}",
        "from torch import nn\nlayer = Patches() if is_npu else nn.Conv3d(3, 8, 2)",
    ],
)
def test_other_layers_and_types_are_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize(
    "text",
    [
        "TYPES = [torch.nn.Conv3d, torch.nn.Linear]",
        "NAMES = {'conv': torch.nn.Conv3d}",
        "for kind in (torch.nn.Conv2d, torch.nn.Conv3d): pass",
        "if isinstance(m, (torch.nn.Conv3d, torch.nn.Linear)): pass",
        "if is_npu_available():\n    m = torch.nn.Conv3d(1, 2, 3)",
    ],
)
def test_types_and_branches_for_the_npu_are_left_alone(text):
    check_silent(text, CODE)


CONVOLUTION = "conv = torch.nn.Conv3d(16, 32, 3)"


@pytest.mark.parametrize(
    "switch",
    [
        "torch.npu.config.allow_internal_format = False",
        "torch_npu.npu.config.allow_internal_format = False",
        "torch.npu.set_compile_mode(jit_compile=False)",
    ],
)
def test_a_file_that_sets_a_switch_is_left_alone(switch):
    check_silent(f"{switch}\n{CONVOLUTION}", CODE)


@pytest.mark.parametrize(
    "other",
    [
        "torch.npu.config.allow_internal_format = True",
        "torch.npu.set_compile_mode(jit_compile=True)",
        "torch.npu.set_compile_mode(jit_compile=fast)",
        "x = torch.npu.config.allow_internal_format",
        "# torch.npu.config.allow_internal_format = False",
    ],
)
def test_what_does_not_set_it_changes_nothing(other):
    found = check_reported(f"{other}\n{CONVOLUTION}", CODE, "warning", 2)
    assert "allow_internal_format = False before the first tensor" in found.way_out
