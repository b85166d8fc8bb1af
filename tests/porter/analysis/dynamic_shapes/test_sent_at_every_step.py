"""DP604: values of the host that a loop sends to the device at every step."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import check_left_alone, findings

CODE = "DP604"
SAMPLING = """import torch
def sample(model, x, timesteps, sigmas, scale, device):
    shift = torch.linspace(0, 1, 4)
    here = torch.linspace(0, 1, 4, device=device)
    for i, t in enumerate(timesteps):
        y = model(x)
        {line}
    return x
"""
BATCHES = SAMPLING.replace("for i, t in enumerate(timesteps)", "for i, t in enumerate(loader)")
SENT = [
    "x = model(x, torch.tensor([t], device=device))",
    "x = model(x, torch.tensor(t, device=x.device))",
    'x = model(x, torch.as_tensor(sigmas[i], device="cuda"))',
    "x = x * torch.tensor(scale, dtype=x.dtype, device=device)",
    "x = x + shift.to(device)",
    "x = x + torch.tensor([0.5, 0.5]).to(x.device, x.dtype)",
    'x = x + torch.from_numpy(sigmas).to("cuda")',
]


@pytest.mark.parametrize("line", SENT)
def test_it_is_reported_in_a_sampling_loop(line):
    assert [(one.severity, one.line) for one in findings(SAMPLING.format(line=line), CODE)] == [("note", 7)]


@pytest.mark.parametrize("line", SENT[3:6])
def test_what_names_nothing_of_a_batch_is_reported_in_a_loop_over_batches(line):
    assert [one.line for one in findings(BATCHES.format(line=line), CODE)] == [7]


@pytest.mark.parametrize(
    "line",
    [
        "x = model(x, torch.tensor(y, device=device))",  # worked out in the loop
        "x = x + here.to(device)",  # it is there
        "x = x.to(device)",
        "x = x + shift.to(torch.float16)",
        'x = x + shift.to("cpu")',
        'x = torch.tensor([t], device="cpu")',
        "x = torch.tensor([t])",
        "x = torch.zeros(3, device=device)",  # made by the device itself
        "shift = shift + 1; x = x + shift.to(device)",
        "model.to(device)",
    ],
)
def test_the_rest_is_left_alone(line):
    check_left_alone(SAMPLING.format(line=line), CODE)


@pytest.mark.parametrize("line", [*SENT[:1], "x = torch.tensor(t['ids'], device=device)", "x = t.to(device)"])
def test_what_comes_with_a_batch_is_left_alone(line):
    check_left_alone(BATCHES.format(line=line), CODE)


def test_outside_of_a_loop():
    check_left_alone("import torch\ndef f(x, device):\n    return x + torch.tensor(2, device=device)\n", CODE)
