"""Scripts that start processes by multiprocessing: what these compute, print and save is proved like their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import find_scripts
from porter.verify.verification import Verification

from .conftest import ROOT

SPAWN = """\
import torch
import torch.multiprocessing as mp

def work(rank):
    torch.manual_seed(rank)
    y = torch.nn.Linear(4, 4).to("cuda")(torch.ones(2, 4, device="cuda"))
    print(f"rank {rank}: {y.sum().item():.6f}")
    torch.save(y, f"y{rank}.pt")

if __name__ == "__main__":
    mp.spawn(work, nprocs=1)
"""
FORK = """\
import multiprocessing, numpy, threading
from multiprocessing import pool

def work(rank):
    print("rank", rank, rank + {figure})
    numpy.save(f"{{rank}}.npy", numpy.full(3, rank))
    {last}

print("parent", 1.5)
started = [multiprocessing.get_context("fork").Process(target=work, args=[rank]) for rank in range(2)]
for one in started:
    one.start()
{joins}
import torch
print(float(torch.ones(3, device="cuda").mul(2).sum()))
"""
JOINS = "for one in started:\n    one.join()"


def both(script: str) -> tuple[str, str]:
    return script, script.replace('"cuda"', '"npu"')


def test_what_torchs_spawn_starts_is_recorded(verify_text: Callable[..., Row]) -> None:
    row = verify_text(*both(SPAWN))
    assert (row.problems, row.equal, row.ran) == ([], True, 3)
    outcome = row.outcomes["ported"]
    assert [len(lines) for lines in outcome.printed] == [0, 1]
    assert [one["name"] for one in outcome.saved] == ["y0.pt"]
    assert outcome.networks["Linear"]["computed"]["npu"]["operations"] == 1
    assert outcome.notes == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        (".6f}", ".6f}1", ["ported: printed of process 1 'rank 0: "]),
        ("y.sum()", "y.cpu().sum()", ["ported: computed on the CPU what the other way computes on npu: 2 operations"]),
        ("torch.save(", "raise ValueError('no')\n    torch.save(", ["ported: line 8: ValueError: no"]),
    ],
)
def test_a_broken_port_of_it_fails(verify_text: Callable[..., Row], old: str, new: str, problems: list[str]) -> None:
    cuda, ported = both(SPAWN)
    row = verify_text(cuda, ported.replace(old, new))
    assert len(row.problems) == len(problems)
    assert all(one.startswith(start) for one, start in zip(row.problems, problems, strict=True)), row.problems


@pytest.mark.slow
def test_ddp_over_two_processes_at_a_port_that_the_script_names(running: Verification) -> None:
    (script,) = find_scripts([str(ROOT / "tests" / "data" / "programs" / "plain" / "ddp_spawn.py")], None)
    row = running.run(script)
    assert (row.problems, row.equal) == ([], True)
    assert [len(lines) for lines in row.outcomes["ported"].printed] == [0, 3, 3]
    assert row.outcomes["ported"].networks["ToyModel"]["calls"] == 4


def test_forked_processes_are_recorded_apart_from_what_was_before(verify_text: Callable[..., Row]) -> None:
    row = verify_text(*both(FORK.format(figure="0.5", last="", joins=JOINS)))
    assert (row.problems, row.equal) == ([], True)
    outcome = row.outcomes["ported"]
    assert outcome.printed == [["parent 1.5", "6.0"], ["rank 0 0.5"], ["rank 1 1.5"]]
    assert [one["name"] for one in outcome.saved] == ["0.npy", "1.npy"]
    assert outcome.operators_on("npu") == row.outcomes["redirected"].operators_on("npu")


def test_those_that_nobody_joins_are_waited_for(verify_text: Callable[..., Row]) -> None:
    text = FORK.format(figure="0.5", last="import time; time.sleep(0.3); print(0.25)", joins="")
    row = verify_text(*both(text))
    assert row.problems == []
    assert row.outcomes["ported"].printed[1:] == [["rank 0 0.5", "0.25"], ["rank 1 1.5", "0.25"]]


def test_a_figure_of_one_that_differs_and_an_error_that_nobody_hears_of_fail(verify_text: Callable[..., Row]) -> None:
    cuda = both(FORK.format(figure="0.5", last="", joins=JOINS))[0]
    other = FORK.format(figure="0.5 * (rank + 1)", last="if rank: raise ValueError('no')", joins=JOINS)
    row = verify_text(cuda, both(other)[1])
    assert row.problems == [
        "ported: an error ended a process, and the script went on: line 7: ValueError: no",
        "ported: printed of process 2 'rank 1 2.0' where the reference printed 'rank 1 1.5'",
    ]


def test_one_that_is_ended_is_noted(verify_text: Callable[..., Row]) -> None:
    joins = "import time; time.sleep(0.5)\nfor one in started:\n    one.terminate()\n    one.join()\n"
    row = verify_text(*both(FORK.format(figure="0.5", last="threading.Event().wait()", joins=joins)))
    assert row.problems == []
    assert row.outcomes["ported"].notes == [
        "2 of the processes that it started were ended before their last line: what they computed is not seen"
    ]


@pytest.mark.parametrize(
    ("leaves", "figure", "problems"),
    [
        ("os._exit(0)", "0.5", []),
        (
            "os._exit(0)",
            "0.5 * (rank + 1)",
            ["ported: printed of process 2 'rank 1 2.0' where the reference printed 'rank 1 1.5'"],
        ),
        (
            "os._exit(3)",
            "0.5",
            ["ported: an error ended a process, and the script went on: its process ended itself with exit status 3 "
             "before the script's last line"],
        ),
        (
            "os.abort() if rank else os._exit(0)",
            "0.5",
            ["ported: an error ended a process, and the script went on: its process was ended by SIGABRT"],
        ),
    ],
)  # fmt: skip
def test_what_one_computed_before_it_left_at_once_counts(
    verify_text: Callable[..., Row], leaves: str, figure: str, problems: list[str]
) -> None:
    cuda, _ = both(FORK.format(figure="0.5", last="import os; os._exit(0)", joins=JOINS))
    _, ported = both(FORK.format(figure=figure, last=f"import os; {leaves}", joins=JOINS))
    row = verify_text(cuda, ported)
    assert row.problems[: len(problems)] == problems
    assert bool(row.problems) == bool(problems)
    assert row.outcomes["ported"].notes == []


POOLS = """\
import multiprocessing, numpy, torch
from concurrent.futures import ProcessPoolExecutor

def work(number):
    print(f"{{number}}: {{number * {figure}:.3f}}")
    numpy.save(f"{{number}}.npy", numpy.full(3, number * {factor}))
    return number

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(sorted(pool.imap_unordered(work, range(4))))
with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    print(list(pool.map(work, range(4, 8))))
print(float(torch.ones(3, device="cuda").mul(2).sum()))
"""


def test_pools_are_recorded_as_one_process(verify_text: Callable[..., Row]) -> None:
    script = POOLS.format(figure="1.5", factor="1.0")
    row = verify_text(*both(script))
    assert (row.problems, row.equal) == ([], True)
    outcome = row.outcomes["ported"]
    assert outcome.notes == []
    assert outcome.printed == [
        ["[0, 1, 2, 3]", "[4, 5, 6, 7]", "6.0"],
        [f"{number}: {number * 1.5:.3f}" for number in range(8)],
    ]
    assert [one["name"] for one in outcome.saved] == [f"{number}.npy" for number in range(8)]


def test_one_of_a_pool_that_was_ended_before_it_had_anything_to_do_is_not_noted(
    verify_text: Callable[..., Row],
) -> None:
    text = """\
import multiprocessing, torch
if __name__ == "__main__":
    pool = multiprocessing.get_context("spawn").Pool(1)
    pool.terminate()
    pool.join()
    print(float(torch.ones(3, device="cuda").mul(2).sum()))
"""
    row = verify_text(*both(text))
    assert row.problems == []
    assert row.outcomes["ported"].notes == []


def test_one_of_a_pool_that_misses_the_signal_to_end_is_woken(verify_text: Callable[..., Row]) -> None:
    """As where it comes just before the worker waits for work: here a thread gets it, which wakes nobody."""
    text = """\
import multiprocessing, signal, threading, time, torch
def misses_it():
    threading.Thread(target=time.sleep, args=[600], daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1, misses_it) as pool:
        print(pool.map(abs, [-1]))
        pool.map_async(time.sleep, [600])
        time.sleep(0.2)
    print(float(torch.ones(3, device="cuda").mul(2).sum()))
"""
    row = verify_text(*both(text))
    assert (row.problems, row.equal) == ([], True)
    assert row.outcomes["ported"].notes == []


def test_a_pools_own_handler_of_the_signal_to_end_runs_once(verify_text: Callable[..., Row]) -> None:
    text = """\
import multiprocessing, signal, sys, time, torch
def ending(*_):
    print("ending")
    time.sleep(0.5)
    print("ended")
    sys.exit(0)
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1, signal.signal, (signal.SIGTERM, ending)) as pool:
        pool.map_async(time.sleep, [600])
        time.sleep(0.2)
    print(float(torch.ones(3, device="cuda").mul(2).sum()))
"""
    row = verify_text(*both(text))
    assert (row.problems, row.equal) == ([], True)
    assert row.outcomes["ported"].printed == [["6.0"], ["ended", "ending"]]


def test_a_process_of_one_of_a_pool_and_a_fork_end_by_a_signal_as_ever(verify_text: Callable[..., Row]) -> None:
    text = """\
import multiprocessing, os, signal, time, torch
from concurrent.futures import ProcessPoolExecutor
fork = multiprocessing.get_context("fork")
def work(number):
    process = fork.Process(target=time.sleep, args=[600])
    process.start()
    process.terminate()
    process.join()
    child = os.fork()
    if child == 0:
        time.sleep(600)
    os.kill(child, signal.SIGTERM)
    return process.exitcode, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if __name__ == "__main__":
    with ProcessPoolExecutor(1, fork) as pool:
        print(*pool.map(work, [1]))
    print(float(torch.ones(3, device="cuda").mul(2).sum()))
"""
    row = verify_text(*both(text))
    assert (row.problems, row.equal) == ([], True)
    assert row.outcomes["ported"].printed[0] == ["(-15, -15)", "6.0"]


def test_a_figure_and_an_array_of_a_pool_that_differ_fail(verify_text: Callable[..., Row]) -> None:
    script = POOLS.format(figure="1.5", factor="1.0")
    row = verify_text(both(script)[0], both(POOLS.format(figure="1.75", factor="1.0"))[1])
    assert row.problems == ["ported: printed of process 1 '1: 1.750' where the reference printed '1: 1.500'"]
    row = verify_text(both(script)[0], both(POOLS.format(figure="1.5", factor="1.0 + (number == 7)"))[1])
    assert len(row.problems) == 1, row.problems
    assert row.problems[0].startswith("ported: ")
    assert row.outcomes["ported"].ran


def test_every_way_is_told_of_as_many_devices(verify_text: Callable[..., Row]) -> None:
    text = 'import torch\nprint(torch.cuda.device_count(), float(torch.ones(2, device="cuda").mul(2).sum()))\n'
    for one, count in ((text, 1), (text + 'torch.device("cuda:1")\n', 2)):
        row = verify_text(one, one.replace("cuda", "npu"))
        assert row.problems == []
        assert all(outcome.printed == [[f"{count} 4.0"]] for outcome in row.outcomes.values())
