"""The command behind `make test-torch`: what it refuses, and what it counts."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

from tools import tests_on_torch


def test_it_asks_for_one_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert tests_on_torch.main([]) == 2
    assert tests_on_torch.main(["2.7.1", "2.8.0"]) == 2
    assert "make test-torch TORCH=2.7.1" in capsys.readouterr().err


def test_an_environment_with_another_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_VENV", sys.prefix)
    installed = importlib.metadata.version("torch")
    with pytest.raises(SystemExit, match=re.escape(f"holds torch {installed}, not 1.0.0")):
        tests_on_torch.main(["1.0.0"])


def test_counts_are_those_of_pytests_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"/></testsuites>', "utf-8"
    )
    assert tests_on_torch._counts(report) == {"passed": 4, "skipped": 3, "failed": 3}
    assert tests_on_torch._counts(tmp_path / "missing.xml")["failed"] == 1


def test_pins_keep_everything_but_torch() -> None:
    pins = tests_on_torch._pins("2.7.1+cu126").splitlines()
    assert "torch==2.7.1+cu126" in pins
    assert [pin for pin in pins if pin.startswith("torch==")] == ["torch==2.7.1+cu126"]
    assert any(pin.startswith("transformers==") for pin in pins)
