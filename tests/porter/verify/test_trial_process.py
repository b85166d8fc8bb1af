"""A process of trials that hangs, dies or does not come up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porter.verify.common_start import CommonStart, common_start
from porter.verify.trial_process import CannotStart, Ended, TrialProcess
from porter.verify.ways import emulated_ways

from .conftest import ROOT

SLEEPS = "import os, time\nwith open('pid', 'w') as file:\n    file.write(str(os.getpid()))\ntime.sleep(600)\n"
REFERENCE = emulated_ways(None, None)[0]


@pytest.fixture(scope="module")
def common() -> Iterator[CommonStart]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with common_start([REFERENCE]) as common:
            assert common is not None
            yield common


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, common: CommonStart) -> Iterator[TrialProcess]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process = TrialProcess(REFERENCE, tmp_path, common=common)
    yield process
    process.stop()


def job(folder: Path, program: str) -> dict[str, Any]:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(program)
    return {
        "do": "run",
        "path": str(script),
        "module": None,
        "arguments": [],
        "beside": str(folder),
        "stand_for": [],
        "folder": str(work),
        "started_in": str(folder),
        "made_up": str(folder / "made_up"),
        "results": str(folder / "results"),
        "noise_on_cpu": False,
        "devices": 1,
        "result": str(folder / "result.json"),
    }


def has_ended(process_id: int) -> bool:
    """Whether it is gone, or waits as a zombie for whoever reaps orphans."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_the_next_job_runs(process: TrialProcess, tmp_path: Path) -> None:
    process.start()
    with pytest.raises(Ended, match=r"^it took longer than 2 seconds \(--timeout gives it more\)$"):
        process.ask(job(tmp_path, SLEEPS), 2)
    assert has_ended(int((tmp_path / "work" / "pid").read_text()))
    assert process.ask(job(tmp_path, "x = 1"), 60)["error"] is None


def test_a_trial_that_fails_by_itself(process: TrialProcess, tmp_path: Path) -> None:
    process.start()
    wrong = {**job(tmp_path, "x = 1"), "results": 3}
    with pytest.raises(Ended, match=r"^its trial failed, which is no fault of the script: TypeError: "):
        process.ask(wrong, 60)


TELLS = """
import json, os, sys
import torch
told = {"argv": sys.argv, "fallback": os.environ.get("NPU_COMPAT_FALLBACK"), "main": sys.modules["__main__"].__name__}
told |= {"parents": [os.getppid()], "cuda": torch.device("cuda").type, "random": torch.rand(1).item()}
told |= {"knows": sorted({"transformers", "torch_npu"} & set(sys.modules))}
print(json.dumps(told), flush=True)
"""


def test_a_process_that_was_begun_with_others_is_as_one_by_itself(process: TrialProcess, tmp_path: Path) -> None:
    alone = TrialProcess(REFERENCE, tmp_path)
    told = []
    try:
        for number, one in enumerate((process, alone)):
            folder = tmp_path / str(number)
            folder.mkdir()
            one.start()
            assert one.ask(job(folder, TELLS), 60)["error"] is None
            told.append(json.loads((folder / "output.txt").read_text()))
            told[-1]["argv"][0] = Path(told[-1]["argv"][0]).name
            assert told[-1].pop("parents")
        assert process.machine == alone.machine
    finally:
        alone.stop()
    assert told[0] == told[1]
    assert told[0]["fallback"] == "cpu"


def test_one_that_is_killed_is_told_of_and_started_again_by_itself(process: TrialProcess, tmp_path: Path) -> None:
    process.start()
    assert process._process is not None
    first = process._process.pid
    kills = f"import os, signal\nos.kill({first}, signal.SIGKILL)\nos._exit(0)\n"
    with pytest.raises(Ended, match=r"^its process was ended by SIGKILL"):
        process.ask(job(tmp_path, kills), 60)
    assert process.ask(job(tmp_path, "x = 1"), 60)["error"] is None
    assert process._process.pid != first


def test_without_others_it_starts_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    common = CommonStart()
    common.stop()
    process = TrialProcess(replace(REFERENCE, imports=("raise SystemExit(1)",)), tmp_path, common=common)
    with pytest.raises(CannotStart, match="ended without a word"):
        process.start()
    process.stop()


def test_the_command_ends_while_torch_is_still_imported(tmp_path: Path) -> None:
    with common_start([REFERENCE]) as common:
        assert common is not None
        process = TrialProcess(REFERENCE, tmp_path, common=common)
        with ThreadPoolExecutor() as pool:
            starting = pool.submit(process.start)
            common.cancel()
            with pytest.raises(CancelledError):
                starting.result()
        assert process._process is None


def test_a_module_that_is_missing(process: TrialProcess) -> None:
    process.way = replace(REFERENCE, imports=("import no_such_package",))
    with pytest.raises(
        CannotStart, match=r"No module named 'no_such_package'; verify runs the scripts, which needs: pip"
    ):
        process.start()


def test_a_process_that_ends_without_a_word(process: TrialProcess) -> None:
    process.way = replace(REFERENCE, imports=("raise SystemExit(1)",))
    with pytest.raises(CannotStart, match="ended without a word"):
        process.start()
