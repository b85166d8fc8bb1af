"""A run that is killed and goes on ends in the same bits as one that is not."""

import signal

import pytest
import torch
from safetensors.torch import load_file

from tests.diffsynth.diffusion.training.conftest import FULL, LORA, losses, run
from tests.diffsynth.diffusion.training.driver import QWEN, WAN

# 5 clips, an update every two batches and one at the end of each epoch: 9 updates of 15 batches.
RUN = ["--num_epochs", "3", "--gradient_accumulation_steps", "2", "--save_steps", "2", "--lr_scheduler", "cosine"]
RESUME = ["--resume_from_checkpoint", "latest"]


def assert_same_bits(folder, reference, name="step-9.safetensors"):
    found, expected = load_file(folder / name), load_file(reference / name)
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor), key
    assert losses(folder) == losses(reference)


def test_killed_in_the_middle_of_an_accumulation(encoded_flags_of, train_here, launch, tmp_path):
    """At batch 8, the third of the second epoch."""
    train_here(encoded_flags_of(tmp_path / "whole", *LORA, *RUN))
    killed = encoded_flags_of(tmp_path / "killed", *LORA, *RUN)
    assert_killed(launch("cpu", run(killed, loss=8)))
    assert checkpoints(tmp_path / "killed") == ["checkpoint-4"]
    train_here([*killed, *RESUME])
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("trained", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("family", [WAN, QWEN])
def test_killed_twice(flags_by_family, train_here, launch, tmp_path, trained, family):
    """At batch 8, and at the fourth after the resumption: batch 10, the last of the second epoch."""
    train_here(flags_by_family[family](tmp_path / "whole", *trained, *RUN), family)
    killed = flags_by_family[family](tmp_path / "killed", *trained, *RUN)
    assert_killed(launch("cpu", run(killed, family, loss=8)))
    assert_killed(launch("cpu", run([*killed, *RESUME], family, loss=4)))
    train_here([*killed, *RESUME], family)
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
def test_killed_while_saving(encoded_flags_of, train_here, launch, tmp_path):
    train_here(encoded_flags_of(tmp_path / "whole", *LORA, *RUN))
    killed = encoded_flags_of(tmp_path / "killed", *LORA, *RUN)
    assert_killed(launch("cpu", run(killed, save=2)))
    assert (tmp_path / "killed/.checkpoint-4.unfinished/optimizer.bin").exists()
    assert checkpoints(tmp_path / "killed") == ["checkpoint-2"]
    train_here([*killed, *RESUME])
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")
    assert not (tmp_path / "killed/.checkpoint-4.unfinished").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("family", "rank"), [(WAN, 0), (WAN, 1), (QWEN, 0)])
def test_two_processes_on_npus_of_which_one_is_killed(flags_by_family, launch, tmp_path, family, rank):
    run_of_two = [*LORA, *RUN, "--dataset_repeat", "2"]
    done = launch("npu", run(flags_by_family[family](tmp_path / "whole", *run_of_two), family), processes=2)
    assert done.returncode == 0, done.stderr
    killed = flags_by_family[family](tmp_path / "killed", *run_of_two)
    done = launch("npu", run(killed, family, loss=8, rank=rank), processes=2)
    assert done.returncode != 0
    assert f"rank      : {rank}" in done.stderr
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert checkpoints(tmp_path / "killed") == ["checkpoint-4"]
    done = launch("npu", run([*killed, *RESUME], family), processes=2)
    assert done.returncode == 0, done.stderr
    assert "trained on npu" in done.stdout
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


def assert_killed(done):
    assert done.returncode == -signal.SIGKILL, done.stderr


def checkpoints(folder):
    return sorted(path.name for path in folder.glob("checkpoint-*"))


RANDOM_STATES = """
import random, sys
import numpy as np, torch
from accelerate import Accelerator
from pathlib import Path
from diffsynth.diffusion.training.checkpoints import Checkpoints, Position

accelerator = Accelerator()
network = accelerator.prepare(torch.nn.Linear(2, 2))
checkpoints = Checkpoints(accelerator, Path(sys.argv[1]), keep=1, run={}, trained={"weight": (2, 2), "bias": (2,)})
torch.manual_seed(accelerator.process_index), np.random.seed(3), random.seed(4)

def draws():
    drawn = [torch.rand(3), torch.rand(3, device=accelerator.device)]
    return [*(tensor.tolist() for tensor in drawn), np.random.rand(), random.random()]

checkpoints.save(Position(0, 1, 1))
expected = draws()
assert draws() != expected
assert checkpoints.load("latest") == Position(0, 1, 1)
assert draws() == expected, accelerator.process_index
"""


@pytest.mark.parametrize("machine", [pytest.param("cpu", marks=pytest.mark.slow), "npu"])
def test_every_generator_goes_on_where_it_was(run_on, tmp_path, machine):
    program = RANDOM_STATES.replace("sys.argv[1]", repr(str(tmp_path)))
    run_on(machine, program, **({"ACCELERATE_USE_CPU": "true"} if machine == "cpu" else {}))


def test_only_the_newest_checkpoints_stay(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *LORA, "--save_steps", "1", "--save_total_limit", "2"))
    assert checkpoints(tmp_path) == ["checkpoint-4", "checkpoint-5"]
    assert len(list(tmp_path.glob("step-*.safetensors"))) == 5


def test_what_is_not_trained_is_not_saved(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *LORA))
    names = load_file(tmp_path / "checkpoint-5/model.safetensors")
    assert names
    assert all("lora_" in name for name in names)


def test_latest_without_any_is_the_beginning(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *LORA, *RESUME))
    assert len(losses(tmp_path)) == 5
