"""DP202: an API of torch that the vendor does not list as supported."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP202"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("noise = torch.poisson(rates)", 1),
        ("import torch as th\nnoise = th.poisson(rates)", 2),
        ("from torch import poisson", 1),
        ("import torch.nn.functional as F\nF.gumbel_softmax(x)", 2),
        ("from torch import nn\npool = nn.MaxPool3d(2)", 2),
        ("from torch.nn import (\n    Linear,\n    MaxPool3d,\n)", 3),
        ("class Pool(torch.nn.AvgPool3d):\n    pass", 1),
        ("torch.export.save(program, path)", 1),
        ("from torch.export import save", 1),
        ("torch.export.export(step, x)", 1),
        ("torch.profiler.itt.range_push('a')", 1),
        ("torch.accelerator.get_device_capability()", 1),
        ("torch.fft.fftfreq(4)", 1),
    ],
)
def test_a_name_not_listed_is_a_warning(text, line):
    found = check_reported(text, CODE, "warning", line)
    assert "atlas-a2" in found.message


@pytest.mark.parametrize(
    "text",
    [
        "noise = torch.normal(rates)",
        "noise = numpy.random.poisson(rates)",
        "import numpy as th\nnoise = th.poisson(rates)",
        "from torch import normal",
        "import torch.nn.functional as F\nF.softmax(x)",
        "from torch import nn\npool = nn.MaxPool2d(2)",
        "from .nn import MaxPool3d",
        "def f(pool: torch.nn.AvgPool3d) -> torch.nn.AvgPool3d:\n    pass",
        "pool: torch.nn.AvgPool3d",
        "if isinstance(pool, torch.nn.AvgPool3d):\n    pass",
        "torch.save(program, path)",
        "image.save(path)",
        "import torch.export as e\ne.save(program, path)",
        '"torch.poisson"',
        "x: torch.Tensor = torch.zeros(2)",
    ],
)
def test_a_name_listed_or_only_a_type_is_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize("hardware", ["atlas-a2", "atlas-a3"])
def test_the_table_is_that_of_the_hardware_line(hardware):
    text = "product = torch.addmm(bias, a, b)"
    check_silent(text, CODE, hardware=hardware)
    assert "ascend-950dt" in check_reported(text, CODE, "warning", hardware="ascend-950dt").message


@pytest.mark.parametrize("text", ["torch.backends.cudnn.benchmark_limit = 4", "torch.utils.cpp_extension.load('x')"])
def test_what_other_rules_speak_of_is_left_to_them(text):
    check_silent(text, CODE)


@pytest.mark.parametrize("target", ["xpu", "mps", "musa"])
def test_it_is_about_ascend_only(target):
    check_silent("noise = torch.poisson(rates)", CODE, target=target)
