"""A training by DeepSpeed's own launcher and engine, and a port of it that trains otherwise, which must not pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import command_line, find_scripts
from porter.verify.verification import Verification

from .conftest import ROOT

PROGRAMS = ROOT / "tests" / "data" / "programs" / "deepspeed"
COMMAND = f"deepspeed --num_gpus 1 {PROGRAMS / 'train.py'} --deepspeed --deepspeed_config {PROGRAMS / 'zero3.json'}"

pytest.importorskip("deepspeed")
pytestmark = pytest.mark.slow


def check(row: Row) -> None:
    assert row.problems == []
    assert (row.ran, row.equal) == (3, True)
    assert row.outcomes["ported"].operations_on("npu")[0] > 10
    assert any(one["name"].endswith("_model_states.pt") for one in row.outcomes["ported"].saved)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", ["zero2_offload.sh", "zero3.sh"])
def test_a_launch_script_passes(running: Verification, name: str, processes: int) -> None:
    (script,) = find_scripts([str(PROGRAMS / name)], None, [processes])
    row = running.run(script)
    check(row)
    if name == "zero2_offload.sh":
        assert set(row.outcomes["ported"].host_work) == {"DeepSpeed's optimizer for the host"}
        assert not row.outcomes["ported"].operations_on_host_data()


def test_a_command_passes(running: Verification) -> None:
    (script,) = command_line(COMMAND.split(), None, [])
    assert script.processes == 1
    check(running.run(script))


def test_a_port_that_trains_longer_fails(running: Verification) -> None:
    (script,) = find_scripts([str(PROGRAMS / "zero3.sh")], None, [1])
    row = running.run(replace(script, ported=script.ported.replace(b"--epochs 1", b"--epochs 2")))
    assert any("printed" in problem for problem in row.problems)
