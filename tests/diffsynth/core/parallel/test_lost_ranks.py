"""A process that ends takes the others with it, soon, and each says which one it was."""

import signal
import time

import pytest

from tests.diffsynth.ranks import ended, start_ranks

PROGRAM = """
import os, time
import torch
from diffsynth.core.parallel.world import join

world = join("cpu")
everyone = world.all()
rank, scene = world.launch.rank, os.environ["SCENE"]
everyone.sum(torch.zeros(4))
open(f"ready{rank}", "w").close()
if scene == "fails" and rank == 1:
    raise ValueError("no such file")
if scene == "computes" and rank != 1:
    while True:  # never talks to the others again
        time.sleep(0.1)
if scene == "ends well":
    time.sleep(rank)
    print("done")
else:
    while True:
        everyone.sum(torch.zeros(1000))
"""
SOON = 30.0


def play(scene, killed, tmp_path, count=3):
    """How each process ended, and seconds from the kill, or from when all were ready, to the end of all."""
    processes = start_ranks("cpu", PROGRAM, count, tmp_path, SCENE=scene)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("ready*"))) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    if killed is not None:
        processes[killed].send_signal(signal.SIGKILL)
    started = time.monotonic()
    ranks = ended(processes, timeout=60)
    return ranks, time.monotonic() - started


def test_a_killed_rank_ends_the_other(tmp_path):
    ranks, seconds = play("talks", 1, tmp_path, count=2)
    assert seconds < SOON
    assert ranks[0].returncode == 1
    assert "rank 1 of 2 was killed, or its machine was lost" in ranks[0].stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_killed_rank_ends_all_others(tmp_path):
    ranks, seconds = play("talks", 1, tmp_path)
    assert seconds < SOON
    for number in (0, 2):
        assert ranks[number].returncode == 1
        assert "rank 1 of 3 was killed, or its machine was lost" in ranks[number].stderr.splitlines()[-1]


@pytest.mark.slow
def test_rank_0_killed(tmp_path):
    ranks, seconds = play("talks", 0, tmp_path)
    assert seconds < SOON
    assert all(rank.returncode == 1 and "rank 0 of 3 was killed" in rank.stderr for rank in ranks[1:])


@pytest.mark.slow
def test_a_rank_that_computes_hears_of_it_too(tmp_path):
    ranks, seconds = play("computes", 1, tmp_path)
    assert seconds < SOON
    for number in (0, 2):
        assert ranks[number].returncode == 1
        assert ranks[number].stderr.endswith(
            "diffsynth: rank 1 of 3 was killed, or its machine was lost: "
            f"rank {number} cannot go on without it, and ends\n"
        )


@pytest.mark.slow
def test_a_rank_that_fails_says_why_on_all(tmp_path):
    ranks, seconds = play("fails", None, tmp_path)
    assert seconds < SOON
    assert ranks[1].stderr.endswith("ValueError: no such file\n")
    for number in (0, 2):
        assert ranks[number].returncode == 1
        assert "rank 1 of 3 ended with ValueError: no such file" in ranks[number].stderr.splitlines()[-1]


@pytest.mark.slow
def test_ranks_may_end_well_one_after_another(tmp_path):
    ranks, _ = play("ends well", None, tmp_path)
    assert [(rank.returncode, rank.stdout) for rank in ranks] == [(0, "done\n")] * 3
