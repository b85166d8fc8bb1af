"""Joining processes: what the environment says, and one clear error where it, or the machine, does not fit."""

import pytest
import torch

from diffsynth.core.parallel import RankError
from diffsynth.core.parallel.world import Launch, join

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "host", "MASTER_PORT": "1"}


@pytest.fixture(autouse=True)
def _started_alone(monkeypatch):
    for name in (*TORCHRUN, "LOCAL_WORLD_SIZE", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_a_process_started_alone_computes_alone_and_says_how_to_start_several():
    with pytest.warns(UserWarning, match="one process computes alone; for several devices, start the script with: tor"):
        assert join("cpu") is None


def test_what_torchrun_says(monkeypatch):
    for name, value in {**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert Launch.from_environment() == Launch(rank=3, size=4, local_rank=1, local_size=2, machine=1, address="host")


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "MASTER_ADDR"])
def test_a_missing_variable_is_named(monkeypatch, name):
    for other, value in TORCHRUN.items():
        if other != name:
            monkeypatch.setenv(other, value)
    with pytest.raises(RankError, match=rf"lacks {name}, which torchrun sets: start the script with: torchrun"):
        join("cpu")


def test_a_variable_that_is_no_number(monkeypatch):
    for name, value in {**TORCHRUN, "LOCAL_RANK": "one"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RankError, match="LOCAL_RANK='one', expected a whole number"):
        join("cpu")


def test_a_torch_without_the_backend(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "is_backend_available", lambda name: name != "gloo")
    with pytest.raises(RankError, match="has no gloo, by which the processes would talk: install a torch"):
        join("cpu")


MORE_PROCESSES_THAN_DEVICES = """
import os
os.environ.update(RANK="2", WORLD_SIZE="3", LOCAL_RANK="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="1")
from diffsynth.core.parallel import RankError
from diffsynth.core.parallel.world import join
try:
    join("npu")
except RankError as error:
    print(error)
"""


@pytest.mark.slow
def test_more_processes_than_devices(run_on):
    assert run_on("npu", MORE_PROCESSES_THAN_DEVICES).strip() == (
        "process 2 of this machine has no device: there are 2 of type npu; "
        "start torchrun with --nproc_per_node 2 or less"
    )
