"""Workflow commands, one a line, with everything escaped that would end one early."""

from __future__ import annotations

import pytest

from porter.findings import Failure, FileReport, Finding
from porter.reporting import render
from porter.reporting.context import RunContext


def test_check_annotates_findings_fixes_and_failures(reports: list[FileReport], checking: RunContext) -> None:
    assert render("github", reports, checking).splitlines() == [
        '::notice file=scripts/port me.py,line=3,col=20,endLine=3,endColumn=26,title=DP101::"cuda" becomes "npu"',
        '::notice file=scripts/port me.py,line=4,col=20,endLine=4,endColumn=28,title=DP101::"cuda:1" becomes "npu:1"',
        "::error file=scripts/port me.py,line=5,endLine=7,title=DP109"
        "::this file names cuda and npu; it was not undone%0Ahelp: undo it by hand",
        "::warning file=scripts/port me.py,line=9,col=8,endLine=9,endColumn=14,title=DP102::the port leaves it",
        "::error file=scripts/broken.py,line=3,title=diffsynth-port::'(' was never closed",
        "::error file=gone.py,title=diffsynth-port::no such file",
    ]


def test_fixes_that_were_made_are_not_annotated(reports: list[FileReport], rewriting: RunContext) -> None:
    assert "DP101" not in render("github", reports, rewriting)


def test_nothing_to_say_is_nothing(rewriting: RunContext) -> None:
    assert render("github", [FileReport("a.py")], rewriting) == ""


@pytest.mark.parametrize(
    ("path", "message", "command"),
    [
        ("a,b:c.py", "x, y: z", "::error file=a%2Cb%3Ac.py,title=diffsynth-port::x, y: z"),
        ("100%.py", "50%0A", "::error file=100%25.py,title=diffsynth-port::50%250A"),
        ("a\nb.py", "one\r\ntwo", "::error file=a%0Ab.py,title=diffsynth-port::one%0D%0Atwo"),
        ("a\udcff.py", "m", "::error file=a\\udcff.py,title=diffsynth-port::m"),
    ],
)
def test_escaping(path: str, message: str, command: str, rewriting: RunContext) -> None:
    assert render("github", [FileReport(path, failure=Failure(message))], rewriting) == command


def test_a_finding_in_a_cell_is_on_the_file(checking: RunContext) -> None:
    finding = Finding("DP101", "fix", "m", 2, 4, 2, 8, cell=3)
    command = render("github", [FileReport("a.ipynb", True, (finding,))], checking)
    assert command == "::notice file=a.ipynb,title=DP101::cell 3, line 2: m"
