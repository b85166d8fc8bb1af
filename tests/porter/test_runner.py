"""Many files on several processes: in their order, each once, and none lost with a process that dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import porter.runner
from porter.discovery import Input
from porter.findings import FileReport
from porter.port import Plan
from porter.port_file import Job
from porter.runner import run

BEFORE, AFTER = 'x = x.to("cuda")\n', 'x = x.to("npu")\n'


@pytest.fixture
def inputs(tmp_path: Path) -> list[Input]:
    paths = [tmp_path / f"{number:03}.py" for number in range(100)]
    for path in paths:
        path.write_text(BEFORE)
    return [Input(str(path)) for path in paths]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_file_in_its_order(processes: int, inputs: list[Input]) -> None:
    reports = list(run(inputs, Job(Plan("npu")), processes))
    assert [report.path for report in reports] == [one.path for one in inputs]
    assert all(report.changed and report.failure is None for report in reports)
    assert {Path(one.path).read_text() for one in inputs} == {AFTER}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the processes do not share what a test has replaced")
def test_a_file_on_which_the_process_dies(inputs: list[Input], monkeypatch: pytest.MonkeyPatch) -> None:
    port = porter.runner.port_files
    deadly = {inputs[50].path, inputs[51].path, inputs[99].path}

    def dies(chunk: Sequence[Input], job: Job) -> list[FileReport]:
        if any(one.path in deadly for one in chunk):
            os._exit(1)
        return port(chunk, job)

    monkeypatch.setattr(porter.runner, "port_files", dies)
    reports = list(run(inputs, Job(Plan("npu")), 2))
    assert [report.path for report in reports] == [one.path for one in inputs]
    assert {report.path for report in reports if report.failure is not None} == deadly
    assert {Path(one.path).read_text() for one in inputs if one.path not in deadly} == {AFTER}


def test_whoever_stops_listening_ends_the_run(inputs: list[Input]) -> None:
    reports = run(inputs, Job(Plan("npu")), 2)
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    assert Path(inputs[0].path).read_text() == AFTER
    assert Path(inputs[-1].path).read_text() == BEFORE
