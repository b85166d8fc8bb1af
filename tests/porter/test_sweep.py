"""A sample of the installed packages goes through the porter, and the checks of that sweep can fail."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

import pytest

from benchmarks import porter_sweep
from benchmarks.porter_sweep import files_with_cuda, sweep
from porter.documents.document import PortedBytes
from porter.findings import Finding

#: A file of more than this is for the whole sweep: one of them takes seconds.
LARGEST = 150_000

PACKAGES = ("torch", "transformers", "diffusers", "accelerate")
FIX = Finding("DP101", "fix", '"cuda" becomes "npu"', 1, 1, 1, 10)


def sample() -> list[Path]:
    """The same files each time for the same installed packages."""
    root = Path(sysconfig.get_path("purelib"))
    found = [path for package in PACKAGES for path in files_with_cuda(root / package)]
    small = [path for path in found if path.stat().st_size <= LARGEST]
    return random.Random(0).sample(small, min(60, len(small)))


def test_installed_packages():
    outcomes = [sweep(path) for path in sample()]
    assert {outcome.path: outcome.violations for outcome in outcomes if outcome.violations} == {}
    assert sum(outcome.changed for outcome in outcomes) > 10


@pytest.fixture
def ported_to(monkeypatch, tmp_path):
    """What the sweep says of `before` if the porter gave `after`, and `again` for that."""

    def violations(before: bytes, after: PortedBytes, again: PortedBytes | None = None) -> list[str]:
        given = {after.data: again or PortedBytes(after.data), before: after}
        monkeypatch.setattr(porter_sweep, "port_bytes", lambda name, data, plan: given[data])
        path = tmp_path / "script.py"
        path.write_bytes(before)
        return sweep(path).violations

    return violations


def test_nothing_is_said_of_a_good_port(ported_to):
    assert ported_to(b'd = "cuda"\n', PortedBytes(b'd = "npu"\n', (FIX,))) == []


def test_nothing_is_said_of_an_added_import(ported_to):
    before = b'import diffsynth\nx = mem_get_info("cuda")\n'
    after = f"import diffsynth\n{porter_sweep.IMPORT}\nx = mem_get_info(get_device_name())\n".encode()
    fix = Finding("DP103", "fix", "", 2, 18, 2, 24)
    report = Finding("DP206", "note", "", 2, 1, 2, 2)
    moved = Finding("DP206", "note", "", 3, 1, 3, 2)
    assert ported_to(before, PortedBytes(after, (fix, report)), PortedBytes(after, (moved,))) == []


@pytest.mark.parametrize(
    ("after", "again", "violation"),
    [
        (PortedBytes(b'd = "npu"\n'), None, "line 1 changed without a finding"),
        (PortedBytes(b'd = "npu"\nx = 1\n', (FIX,)), None, "1 lines became 2"),
        (PortedBytes(b'd = "npu\n', (FIX,)), None, "what came out does not parse"),
        (PortedBytes(b'd = "cuda"\n', (FIX,)), None, "something was fixed, and nothing changed"),
        (PortedBytes(b'd = "npu"\n', (FIX,)), PortedBytes(b'd = "xpu"\n'), "porting it once more changes it"),
    ],
)
def test_a_bad_port_is_told(ported_to, after, again, violation):
    assert violation in ported_to(b'd = "cuda"\n', after, again)


def test_reports_that_come_and_go_are_told(ported_to):
    gone, new = Finding("DP201", "error", "lacks", 1, 1, 1, 2), Finding("DP206", "note", "draws", 1, 1, 1, 2)
    after = PortedBytes(b'd = "npu"\n', (FIX, gone))
    assert ported_to(b'd = "cuda"\n', after, PortedBytes(after.data, (new,))) == [
        "line 1: DP201 (error) is gone after porting: lacks ",
        "line 1: DP206 (note) is new after porting: draws ",
    ]


def test_a_crash_is_told_and_not_raised(monkeypatch, tmp_path):
    def crash(name, data, plan):
        raise RuntimeError("boom")

    monkeypatch.setattr(porter_sweep, "port_bytes", crash)
    path = tmp_path / "script.py"
    path.write_bytes(b'd = "cuda"\n')
    assert sweep(path).violations == ["crashed: RuntimeError: boom"]


def test_a_refusal_of_real_python_is_told_and_of_anything_else_is_not(tmp_path):
    path = tmp_path / "script.py"
    path.write_bytes(b'd = "cuda" +\n')
    outcome = sweep(path)
    assert outcome.refused
    assert outcome.violations == []
