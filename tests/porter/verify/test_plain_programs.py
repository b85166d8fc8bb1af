"""Programs that use no library a trial knows, run as they are; and ports broken on purpose, which must not pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import command_line, find_scripts
from porter.verify.verification import Verification

from .conftest import ROOT

PROGRAMS = ROOT / "tests" / "data" / "programs" / "plain"


def verify(running: Verification, name: str, *arguments: str) -> Row:
    (script,) = find_scripts([str(PROGRAMS / name)], None, [1], arguments)
    return running.run(script)


def check(row: Row, *names: str) -> None:
    """It passes, and these are its networks."""
    assert row.problems == []
    assert row.ran == 3
    assert set(row.outcomes["ported"].networks) == set(names)
    assert row.outcomes["ported"].operators_on("npu")
    assert not row.outcomes["cpu"].operators_on("npu")


def test_a_gan_saves_a_picture_and_prints_its_losses(running: Verification) -> None:
    row = verify(running, "gan.py", "2")
    check(row, "Generator", "Discriminator")
    assert row.equal is True
    outcome = row.outcomes["ported"]
    assert [(one["name"], one["shape"]) for one in outcome.saved] == [("drawn.png", [1, 16, 64, 3])]
    assert outcome.printed[0][0].startswith("[0/2] D ")
    assert outcome.backward["computed"]["npu"]["operations"] > 50


def test_inference_on_streams_that_only_prints(running: Verification) -> None:
    row = verify(running, "streams.py")
    check(row, "Detector")
    assert row.outcomes["ported"].printed[0][0] == "elapsed: <amount> on " + row.outcomes["ported"].printed[0][0][21:]
    assert row.outcomes["ported"].operators_on("npu")["aten.gather"] == 4  # in a thread of its own


def test_what_an_npu_refuses_is_named_with_its_line(running: Verification) -> None:
    row = verify(running, "refused.py")
    assert row.ran == 1
    (problem,) = row.problems
    assert problem.startswith("unedited, redirected and ported: line 7: abs: NPU function error: call aclnnAbs failed")
    assert row.outcomes["ported"].refused == ["abs on complex128"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "network", "saved"),
    [
        ("vae.py", ["--epochs", "2"], "VAE", ["samples.npz:samples", "samples.npz:first"]),
        ("diffusion.py", [], "UNet", ["samples.pt", "average.safetensors"]),
    ],
)
def test_other_trainings(
    running: Verification, name: str, arguments: list[str], network: str, saved: list[str]
) -> None:
    row = verify(running, name, *arguments)
    check(row, network)
    assert row.equal is True
    assert [one["name"] for one in row.outcomes["ported"].saved] == saved


@pytest.mark.slow
def test_a_training_with_amp_that_resumes_is_close_to_the_cpu_and_the_same_on_the_npu(running: Verification) -> None:
    row = verify(running, "classifier.sh")
    check(row, "Classifier")
    assert row.equal is False
    assert any(note.startswith("autocast rounds other operators on the CPU") for note in row.notes)
    first, second = row.outcomes["ported"].printed
    assert first[0].startswith("epoch 1: loss ")
    assert second[0] == "resumed after epoch 1"


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["python", "-m", "torch.distributed.run"]])
def test_a_training_over_two_processes(running: Verification, monkeypatch: pytest.MonkeyPatch, how: list[str]) -> None:
    monkeypatch.chdir(PROGRAMS)
    words = [*(how or ["torchrun"]), "--nproc_per_node", "8", "language_model.py", "--steps", "3"]
    (script,) = command_line(words, None, [])
    assert script.shown.endswith("language_model.py --steps 3 (2 processes)")
    row = running.run(script)
    check(row, "GPT")
    assert row.equal is True
    outcome = row.outcomes["ported"]
    assert len(outcome.printed) == 2
    assert [one["name"] for one in outcome.saved] == ["gpt.pt"]


PROGRAM = """\
import numpy, torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).to("npu")
x = torch.rand(3, 4).to("npu")
loss = net(x).square().mean()
loss.backward()
print(f"loss {loss.item():.6f}")
torch.save(net[0].weight.grad, "grad.pt")
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("manual_seed(0)", "manual_seed(1)", "saved other weights than the reference ("),
        ("{loss.item():.6f}", "{loss.item() + 2e-6:.6f}", "printed 'loss "),
        ("loss.backward()", "loss.backward(); net[0].weight.grad[0] = float('nan')", "saved NaN or infinity in grad"),
        ("loss.backward()", "raise ValueError('no')", "line 6: ValueError: no"),
        ('"npu"', '"cpu"', "nothing was computed on npu"),
        ("net(x)", "net.cpu()(x.cpu()).to(x.device)", "Sequential computed nothing on npu"),
        ("square()", "cpu().square().to(x.device)", "computed on the CPU what the other way computes on npu: "),
        (
            "net(x)",
            "torch.compile(lambda x: torch.tanh(net[0](x).cpu()).to('npu') @ net[2].weight.T + net[2].bias)(x)",
            "computed on the CPU what the other way computes on npu: 2 operations (aten.tanh 1, aten.tanh_backward 1)",
        ),
    ],
)  # fmt: skip
def test_a_broken_port_fails(verify_text: Callable[..., Row], old: str, new: str, problem: str) -> None:
    row = verify_text(PROGRAM.replace('"npu"', '"cuda"'), PROGRAM.replace(old, new))
    assert [one for one in row.problems if one.startswith(f"ported: {problem}")], row.problems
    assert all(one.startswith("ported: ") for one in row.problems)


def test_work_on_the_host_that_only_one_way_has_is_named(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PROGRAM.replace('"npu"', '"cuda"'), PROGRAM.replace("net(x)", "net(x.cpu().neg().neg().npu())"))
    assert row.notes == ["ported: 2 operations on the CPU that the other way has not (aten.neg 2)"]


HIDDEN = """\
class Hidden(torch.nn.Linear):
    def forward(self, x):
        return torch.from_numpy(numpy.tanh(super().forward(x).detach().cpu().numpy())).to("npu")

net = torch.nn.Sequential(Hidden(4, 4), """


def test_work_that_numpy_does_is_named(verify_text: Callable[..., Row]) -> None:
    begin = "net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), "
    program = PROGRAM.replace(begin, HIDDEN).replace("net[0].weight.grad", "net[1].weight.grad")
    row = verify_text(program.replace('"npu"', '"cuda"'), program)
    assert any("Sequential fetched 1 tensors (48 bytes) from npu in its calls" in note for note in row.notes), row


ON_THE_HOST = """\
class OnTheHost(torch.nn.Linear):
    def forward(self, x):
        return (x.cpu() @ self.weight.cpu().T).to(x.device)

net = torch.nn.Sequential(OnTheHost(4, 4), """


def test_a_network_that_computes_on_the_host_in_every_way_does_not_pass(verify_text: Callable[..., Row]) -> None:
    begin = "net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))"
    program = PROGRAM.replace(begin, ON_THE_HOST.removesuffix(", ") + ")")
    row = verify_text(program.replace('"npu"', '"cuda"'), program)
    assert row.equal is True
    assert row.problems == [
        "unedited, redirected and ported: Sequential computed on the CPU alone, with what it fetched from npu"
    ]


def test_the_whole_program_passes(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PROGRAM.replace('"npu"', '"cuda"'), PROGRAM)
    assert (row.problems, row.equal, row.notes) == ([], True, [])


def test_a_program_without_a_seed_draws_the_same_in_every_way(verify_text: Callable[..., Row]) -> None:
    draws = "import random\nprint(random.random(), numpy.random.rand())"
    program = PROGRAM.replace("torch.manual_seed(0)", draws)
    row = verify_text(program.replace('"npu"', '"cuda"'), program)
    assert (row.problems, row.equal) == ([], True)


def test_modules_and_data_beside_a_program_are_there_in_every_way_and_ported(
    running: Verification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shutil.copytree(PROGRAMS / "with_modules", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    (script,) = find_scripts(["mine/infer.py"], None)
    row = running.run(script)
    check(row, "Small")
    assert row.equal is True
    assert row.outcomes["ported"].printed[0][0].startswith("boat: ")
    assert (whole / "labels.json").read_text() == (PROGRAMS / "with_modules" / "labels.json").read_text()
    (whole / "helpers.py").write_text("from nowhere_at_all import DEVICE\n")
    (problem,) = running.run(script).problems
    assert problem == "every way: line 7: it needs the module nowhere_at_all, which is not installed"
