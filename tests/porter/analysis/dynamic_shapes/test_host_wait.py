"""DP602: values that the host asks for at every step."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import check_left_alone, findings

CODE = "DP602"
LOOP = """\
import torch
def train(model, loader, optimizer, scale: float, log):
    for step, batch in enumerate(loader):
        loss = model(batch)
        loss.backward()
        optimizer.step()
        {line}
    {behind}
"""


@pytest.mark.parametrize(
    "line",
    [
        "total = loss.item()",
        "print(loss.item())",
        "log.append(float(loss))",
        "log.append(loss.detach().cpu())",
        "values = loss.detach().cpu().numpy()",
        "pbar = {'loss': loss.item()}",
    ],
)
def test_in_a_loop_that_trains(line):
    found = findings(LOOP.format(line=line, behind="return loss"), CODE)
    assert [(one.severity, one.line) for one in found] == [("note", 7)]
    assert "behind the loop" in found[0].way_out


@pytest.mark.parametrize(
    ("line", "behind"),
    [
        ("pass", "return loss.item()"),
        ("total = float(scale)", "return 1"),
        ("n = int(batch.shape[0])", "return 1"),
        ("if step % 100 == 0:\n            print(loss.item())", "return 1"),
        ("seed = torch.randint(0, 9, (1,)).item()", "return 1"),
        ("log.append(loss.detach())", "return 1"),
        ("name = batch.name.tolist()", "return 1"),
        ("if batch:\n            pass", "return 1"),
        ("x = scale.item()", "return 1"),
    ],
)
def test_behind_the_loop_now_and_then_and_on_the_host(line, behind):
    check_left_alone(LOOP.format(line=line, behind=behind), CODE)


FORWARD = """\
import torch
class M(torch.nn.Module):
    def forward(self, x: torch.Tensor, n: int, flag: bool):
        {line}
        return x
"""


@pytest.mark.parametrize(
    "line",
    [
        "if torch.isnan(x).any():\n            x = x + 1",
        "while not (x > 0).all():\n            x = x + 1",
        "n = x.max().item()",
        "n = int(x.sum())",
        "y = x.cpu()",
    ],
)
def test_in_forward(line):
    found = findings(FORWARD.format(line=line), CODE)
    assert [(one.severity, one.line) for one in found] == [("note", 4)]


@pytest.mark.parametrize(
    "line",
    [
        "if flag:\n            x = x + 1",
        "if x.shape[0] > 1:\n            x = x + 1",
        "if x is not None:\n            x = x + 1",
        "n = int(x.size(0))",
        "n = int(n)",
        "assert torch.isfinite(x).all()",
    ],
)
def test_what_the_host_knows_is_left_alone(line):
    check_left_alone(FORWARD.format(line=line), CODE)


def test_the_forward_of_another_engine_is_none():
    check_left_alone(FORWARD.replace("torch.nn.Module", "Backend").format(line="y = x.cpu()"), CODE)


def test_in_a_script_without_functions():
    loop = "for x in loader:\n    loss = model(x)\n    loss.backward()\n    print(loss.item())\n"
    text = f"import torch\n{loop}loss.item()\n"
    assert [one.line for one in findings(text, CODE)] == [5]
