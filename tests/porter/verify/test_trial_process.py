"""A process of trials that hangs, dies or does not come up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porter.verify.trial_process import CannotStart, Ended, TrialProcess
from porter.verify.ways import emulated_ways

from .conftest import ROOT

SLEEPS = "import os, time\nwith open('pid', 'w') as file:\n    file.write(str(os.getpid()))\ntime.sleep(600)\n"
REFERENCE = emulated_ways(None, None)[0]


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrialProcess]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process = TrialProcess(REFERENCE, tmp_path)
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
