"""A run over four files: one to rewrite, one to leave, one that is no Python, one that is not there."""

from __future__ import annotations

import pytest

from porter.findings import Failure, FileReport, Finding
from porter.reporting.context import RunContext

FIX = Finding("DP101", "fix", '"cuda" becomes "npu"', 3, 20, 3, 26)
ANOTHER_FIX = Finding("DP101", "fix", '"cuda:1" becomes "npu:1"', 4, 20, 4, 28)
ERROR = Finding("DP109", "error", "this file names cuda and npu; it was not undone", 5, 1, 7, 2, "undo it by hand")
WARNING = Finding("DP102", "warning", "the port leaves it", 9, 8, 9, 14)


@pytest.fixture
def reports() -> list[FileReport]:
    return [
        FileReport("scripts/port me.py", True, (FIX, ANOTHER_FIX, ERROR, WARNING)),
        FileReport("scripts/clean.py"),
        FileReport("scripts/broken.py", failure=Failure("'(' was never closed", 3)),
        FileReport("gone.py", failure=Failure("no such file")),
    ]


@pytest.fixture
def rewriting() -> RunContext:
    return RunContext("npu", "rewrite", "1.2.3", "atlas-a2")


@pytest.fixture
def checking() -> RunContext:
    return RunContext("npu", "check", "1.2.3", "atlas-a2")
