"""DP301: tensors in double precision."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP301"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("freqs = torch.arange(0, 64, 2, dtype=torch.float64)", 1),
        ("freqs = torch.linspace(0, 1, 8, dtype=torch.double, device=device)", 1),
        ("import torch as th\nfreqs = th.ones(2, dtype=th.float64)", 2),
        ("from torch import float64", 1),
        ("x = x.to('cuda', torch.float64)", 1),
        ("torch.set_default_dtype(torch.float64)", 1),
        ("freqs_dtype = torch.float32 if is_mps else torch.float64", 1),
        ("def rope(length, freqs_dtype=torch.float64):\n    pass", 1),
        ("rope(length, freqs_dtype=torch.float64)", 1),
        ('options = {"torch_dtype": torch.float64}', 1),
        ("x = torch.arange(4, dtype=torch.float64, device=device).float()", 1),
        ("x = torch.arange(4, dtype=torch.float64).to(device)", 1),
        ("t = torch.linspace(0, 1, 8, dtype=torch.float64)\nt = t.cuda().float()", 1),
        ("t = torch.linspace(0, 1, 8, dtype=torch.float64)\nx = t.float()\ny = t.cuda()", 1),
        ("t = torch.linspace(0, 1, 8, dtype=torch.float64)\nif a:\n    t = t.float()\ny = t.cuda()", 1),
        ("t = torch.linspace(0, 1, 8, dtype=torch.float64)\nx = model(t).float()", 1),
        ("t = torch.linspace(0, 1, 8, dtype=torch.float64, device=d)\nx = t.float()", 1),
        ("x = x.to(device=d, dtype=torch.float64)", 1),
        ("x = x.to(d, torch.float64, non_blocking=True)", 1),
        ("x = x.to(torch.float64, device=d)", 1),
        ("x = x.to(dtype=torch.float64, **where)", 1),
        ("import torch\nx = torch.arange(4).double().to(d)", 2),
        ("import torch\nx = (torch.from_numpy(a)[1:] / 2).double()", 2),
        ("x = torch.rand(4).to(torch.float64).cuda()", 1),
        ("x = x.sum(dtype=torch.float64)", 1),
        ("x = x.new_zeros(2, dtype=torch.float64)", 1),
        ("x = torch.zeros_like(x, dtype=torch.float64)", 1),
        ("x = torch.as_tensor(x, dtype=torch.float64)", 1),
        ("x = x.view(torch.float64)", 1),
    ],
)
def test_double_precision_is_a_warning(text, line):
    check_reported(text, CODE, "warning", line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = x.to(torch.float64)", 1),
        ("x = x.type(torch.double)", 1),
        ("import torch\nx = x.double()", 2),
        ("import torch\nif x.device.type == 'cuda':\n    x = x.double()", 3),
        ("from torch import nn\nx = self.freqs.to(device).double()", 2),
        ("x = x.to(dtype=torch.float64)", 1),
        ("x = x.to(torch.float64, True, copy=True)", 1),
        ("x = x.to(torch.float64 if exact else torch.float32)", 1),
        ("model.to(torch.float64)", 1),
        ("import torch\nmodel.double()", 2),
        ("import torch\nx = torch.arange(4, device=d).double()", 2),
        ("import torch\nx = torch.arange(4).to(d).double()", 2),
        ("import torch\nx = torch.exp(x).double()", 2),
    ],
)
def test_a_cast_without_a_device_makes_float32_and_is_a_note(text, line):
    found = check_reported(text, CODE, "note", line)
    assert "makes float32 of a tensor on the device here, with a warning" in found.message


@pytest.mark.parametrize(
    "text",
    [
        "freqs = torch.arange(0, 64, 2, dtype=torch.float32)",
        "freqs = torch.arange(0, 64, 2, dtype=numpy.float64)",
        'freqs = torch.linspace(0, 1, 8, dtype=torch.double, device="cpu")',
        "import jax as th\nfreqs = th.ones(2, dtype=th.float64)",
        "from numpy import float64",
        "x = x.cpu().to(torch.float64)",
        "x = x.to('cpu', torch.float64)",
        "x = x.type(torch.float)",
        "limits = torch.finfo(torch.float64)",
        "if x.dtype == torch.float64:\n    pass",
        "if x.dtype in (torch.float32, torch.float64):\n    pass",
        "names = {torch.float64: 'double'}",
        "x = x.double()",
        "import torch\nx = x.double(2)",
        "import torch\nx = x.cpu().double()",
        "import torch\nx = x.to('cpu').double()",
        "import torch\nx = x.double",
        "assert isinstance(x, torch.DoubleTensor)",
        "freqs = torch.arange(0, 64, 2, dtype=torch.float64).cos().float()",
        "steps = torch.linspace(0, 1, 8, dtype=torch.float64).numpy()",
        "t = torch.linspace(0, 1, 8, dtype=torch.float64)\nx = t.float().cuda()",
        "t = torch.linspace(0, 1, 8, dtype=torch.float64)\nt = t.float().cuda()\ny = t.cuda()",
        "def f():\n    t = torch.linspace(0, 1, 8, dtype=torch.float64)\n    return t.float().cuda()",
        "dtype = torch.float32 if x.device.type == 'npu' else torch.float64",
        "dtype = torch.float64 if x.device.type not in ('npu', 'mps') else torch.float32",
        "import torch\nif is_npu():\n    x = x.float()\nelse:\n    x = x.double()",
        "import torch\nif not torch.cuda.is_available():\n    x = x.double()",
        "import torch\ndef f(x):\n    if x.device.type == 'npu':\n        return x.float()\n    return x.double()",
        "import torch\ndef f(x):\n    if x.device.type in ('mps', 'cuda'):\n        return x\n    y = x.double()",
    ],
)
def test_other_dtypes_questions_and_the_cpu_are_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ndef f(x):\n    if x.device.type == 'npu':\n        x = x.float()\n    return x.double()",
        "import torch\ndef f(x):\n    if x.device.type != 'npu':\n        return x\n    return x.double()",
        "import torch\ndef f(x):\n    if x.device.type == 'cpu':\n        return x\n    return x.double()",
    ],
    ids=["goes-on", "the-others-leave", "another-device"],
)
def test_what_the_accelerator_still_comes_to_is_reported(text):
    check_reported(text, CODE, "note", 5)


@pytest.mark.parametrize("target", ["xpu", "mps", "musa"])
def test_it_is_about_ascend_only(target):
    check_silent("freqs = torch.arange(0, 64, 2, dtype=torch.float64)", CODE, target=target)


MADE = "import torch\nx = torch.tensor(a, dtype=torch.float64, device=d)\n"


def test_the_message_names_the_operators_of_the_file():
    refused = check_reported(f"{MADE}y = x.repeat_interleave(2) @ z", CODE, "warning", 2)
    assert "(atlas-a2) refuses float64 in matmul, repeat_interleave" in refused.message
    slow = check_reported(f"{MADE}y = x.sin()", CODE, "warning", 2)
    assert "runs sin on float64 on its AI CPU" in slow.message


def test_reports_win_over_the_definitions():
    refused = check_reported(f"{MADE}y = torch.sigmoid(x)", CODE, "warning", 2)
    assert "runs sigmoid on float64 on its AI CPU" in refused.message


def test_the_lines_differ():
    found = check_reported(f"{MADE}y = torch.sort(x)", CODE, "warning", 2, hardware="ascend-950dt")
    assert "refuses float64 in sort" in found.message
