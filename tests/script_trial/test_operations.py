"""What the networks of a pipeline compute, and where: on the CPU here, on an emulated NPU in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from script_trial.adapters.diffsynth_port.install import networks_of
from script_trial.operations import Operations
from tests.machine import needs_emulator

ROOT = Path(__file__).resolve().parents[2]
Counted = Callable[[nn.Module], tuple[nn.Module, Operations]]


class WithTable(nn.Module):
    """Weighs its input, and adds a table that it prepares on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = torch.arange(8.0).cos()
        return x * self.weight + table


class Coder(nn.Module):
    """Called by its own names, as a VAE is, one of which uses the other."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        return self.encode(x).sqrt()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """``counted(network)``: the network, named so, and what counts the operators until the test ends."""
    monkeypatch.setattr("script_trial.operations.backend", lambda: None)  # another test may have loaded the emulator's
    operations = Operations()

    def name(network: nn.Module) -> tuple[nn.Module, Operations]:
        operations.name("network", network)
        return network, operations

    with operations.counting():
        yield name


def test_operators_and_bytes_are_counted_and_results_stay_what_they_are(counted: Counted) -> None:
    network, operations = counted(WithTable())
    x = torch.rand(2, 8)
    expected = x + torch.arange(8.0).cos()
    assert torch.equal(network(x), expected)
    record = operations.counts.networks["network"]
    assert record.calls == 1
    assert record.devices == {"cpu"}
    assert record.computed["cpu"].operations == 3  # cos, mul, add
    assert record.computed["cpu"].bytes == 4 * ((8 + 8) + (16 + 8 + 16) + (16 + 8 + 16))
    assert record.moved == {}


def test_tables_prepared_on_the_host_are_no_computing_on_its_data(counted: Counted) -> None:
    network, operations = counted(WithTable())
    network(torch.rand(2, 8))
    assert operations.counts.networks["network"].host_data == {"aten.mul": 1, "aten.add": 1}


def test_views_allocations_and_copies_compute_nothing(counted: Counted) -> None:
    class Moves(WithTable):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.empty_like(x).copy_(x).view(4, 4).transpose(0, 1).contiguous().clone().double()

    network, operations = counted(Moves())
    network(torch.rand(16))
    assert operations.counts.networks["network"].computed == {}


def test_what_is_copied_and_then_computed_is_its_data_still(counted: Counted) -> None:
    class Copies(WithTable):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.empty_like(x).copy_(x).view(4, 4).clone().exp()

    network, operations = counted(Copies())
    network(torch.rand(16))
    assert operations.counts.networks["network"].host_data == {"aten.exp": 1}


def test_a_call_from_within_counts_once(counted: Counted) -> None:
    network, operations = counted(Coder())
    network.encode(torch.ones(4))
    network.decode(torch.ones(4))
    assert operations.counts.networks["network"].calls == 2
    assert operations.counts.networks["network"].computed["cpu"].operations == 3


def test_a_network_that_fails_is_counted_on_afterwards(counted: Counted) -> None:
    network, operations = counted(WithTable())
    with pytest.raises(RuntimeError):
        network(torch.rand(3))
    network(torch.rand(8))
    assert operations.counts.networks["network"].calls == 2
    assert operations.counts.networks["network"].devices == {"cpu"}


def test_networks_of_a_pipeline_go_by_its_attributes() -> None:
    dit, vae = nn.Linear(2, 2), nn.Linear(2, 2)
    assert networks_of(SimpleNamespace(dit=dit, dit2=None, vae=vae, scheduler=object())) == {"dit": dit, "vae": vae}
    pipe = nn.Module()
    pipe.dit = dit
    assert networks_of(pipe) == {"dit": dit}


ON_AN_NPU = """
    import json
    import npu_emulator
    npu_emulator.enable()
    import torch
    from torch import nn
    from script_trial.operations import Operations

    class Network(nn.Module):
        def __init__(self, on_host):
            super().__init__()
            self.on_host, self.layer = on_host, nn.Linear(8, 8)
        def forward(self, x):
            x = self.layer(x) + torch.arange(8.0).cos().to("npu")
            return x.cpu().exp().npu() if self.on_host else x.exp()

    operations = Operations()
    networks = {"good": Network(False).to("npu"), "bad": Network(True).to("npu")}
    with operations.counting():
        for name, network in networks.items():
            operations.name(name, network)
            network(torch.rand(3, 8, device="npu"))
    print(json.dumps({name: record.as_json() for name, record in operations.counts.networks.items()}))
"""


def run_on_an_npu(program: str) -> Any:
    """What a program prints as JSON."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_emulator
def test_on_an_npu() -> None:
    records = run_on_an_npu(ON_AN_NPU)
    assert records["good"]["devices"] == records["bad"]["devices"] == ["npu"]
    assert records["good"]["computed"]["npu"]["operations"] == 3
    assert records["good"]["computed"]["cpu"]["operations"] == 1  # the table's cosine
    assert records["good"]["host_data"] == {}
    assert records["good"]["moved"] == {"cpu->npu": {"operations": 1, "bytes": 32}}
    assert records["bad"]["computed"]["npu"]["operations"] == 2
    assert records["bad"]["host_data"] == {"aten.exp": 1}
    assert records["bad"]["moved"]["npu->cpu"] == {"operations": 1, "bytes": 96}


BOTH_COUNTERS = """
    import json
    import os
    import threading
    import npu_emulator
    npu_emulator.enable()
    import torch
    from torch import nn
    from torch.utils.checkpoint import checkpoint
    from script_trial import operations as counting
    from script_trial.dispatch_mode import ModeCounter
    from script_trial.emulator_counter import EmulatorCounter

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(72, 8))
            self.table = nn.Parameter(torch.ones(8))
        def forward(self, x):
            x = checkpoint(self.layers, x, use_reentrant=False) * 2.0
            x = x + (self.table.cpu() * 3).exp().npu() + torch.arange(8.0).cos().npu()
            return nn.functional.scaled_dot_product_attention(*[x[None, None]] * 3).square().add_(1)

    def counted(network):
        operations = counting.Operations()
        operations.name("network", network)
        with operations.counting():
            thread = threading.Thread(target=lambda: network(torch.ones(3, 1, 8, 8, device="npu")).mean().backward())
            thread.start()
            thread.join()
            with operations.working_on_host("by design"):
                torch.ones(4).cos()
            with operations.paused():
                torch.ones(4).sin()
        return type(operations._counter), json.loads(json.dumps(operations.as_json()))

    kind, first = counted(Network().npu())
    assert kind is EmulatorCounter, kind
    counting.backend = lambda: None
    kind, second = counted(Network().npu())
    assert kind is ModeCounter, kind
    print(json.dumps([first, second]), flush=True)
    os._exit(0)  # as processes of a trial do: torch's threads of the way back do not survive the interpreter's end
"""


def in_place_or_not(counts: dict[str, int]) -> Counter[str]:
    """By operators' names without an underscore: in a mode, autograd adds gradients up out of place."""
    found: Counter[str] = Counter()
    for name, count in counts.items():
        found[name.rstrip("_")] += count
    return found


@needs_emulator
def test_the_emulator_counts_what_the_dispatch_mode_counts() -> None:
    native, mode = run_on_an_npu(BOTH_COUNTERS)
    for counts in (native, mode):
        for record in (counts["outside"], counts["backward"], *counts["networks"].values()):
            record.pop("peak_memory")  # looked at after every operator, and after some
        counts["operators"] = {device: in_place_or_not(of) for device, of in counts["operators"].items()}
    assert native["networks"]["network"]["host_data"] == {"aten.mul": 1, "aten.exp": 1}
    assert native["backward"]["computed"]["npu"]["operations"] > 10
    assert native["host_work"] == {"by design": {"aten.cos": 1}}
    assert native == mode


def test_a_network_that_nobody_names_goes_by_its_class_and_owns_its_parts() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.part(x).relu()

    operations, network = Operations(), Whole()
    with operations.counting():
        loss = network(torch.ones(2, 2)).sum()
        loss.backward()
        network.part(torch.ones(2, 2))
        nn.ReLU()(torch.ones(2))
    assert {name: record.calls for name, record in operations.counts.networks.items()} == {"Whole": 2}
    assert not operations.counts.networks["Whole"].named
    assert operations.counts.backward.computed["cpu"].operations > 0
    assert operations.counts.outside.computed["cpu"].operations >= 2  # the sum, and what has no parameters


def test_threads_and_work_on_the_host_by_design_are_counted_apart() -> None:
    operations, network = Operations(), WithTable()
    with operations.counting():
        thread = threading.Thread(target=lambda: network(torch.ones(8)))
        thread.start()
        thread.join()
        with operations.working_on_host("tiles are put together"):
            torch.ones(4).cos()
        with operations.paused():
            torch.ones(4).sin()
    assert operations.counts.networks["WithTable"].calls == 1
    assert operations.counts.host_work == {"tiles are put together": {"aten.cos": 1}}
    assert operations.counts.by_name["cpu"] == {"aten.cos": 1, "aten.mul": 1, "aten.add": 1}


def test_weights_that_lie_in_the_bytes_of_a_file_are_aligned() -> None:
    network = nn.Linear(8, 8, bias=False)
    network.weight.data = torch.frombuffer(bytearray(8 * 8 * 4 + 4), dtype=torch.float32, offset=4).view(8, 8).normal_()
    weight, before = network.weight, network.weight.clone()
    with Operations().counting(operators=False):
        network(torch.ones(1, 8))
    assert network.weight is weight
    assert weight.data_ptr() % 64 == 0
    assert torch.equal(weight, before)


def test_weights_that_share_their_bytes_still_do() -> None:
    whole = torch.rand(2 * 8 * 8 + 1)
    network = nn.Linear(8, 8, bias=False)
    network.weight.data = whole[1:65].view(8, 8)
    with Operations().counting(operators=False):
        network(torch.ones(1, 8))
    whole.zero_()
    assert not network.weight.any()
