"""Text for people: the lines, what each mode leaves out, and the sentences at the end."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from porter.findings import Failure, FileReport, Finding
from porter.reporting import render
from porter.reporting.context import RunContext


def test_check_lists_findings_fixes_and_failures(reports: list[FileReport], checking: RunContext) -> None:
    assert render("text", reports, checking).splitlines() == [
        'scripts/port me.py:3:20: DP101 [*] "cuda" becomes "npu"',
        'scripts/port me.py:4:20: DP101 [*] "cuda:1" becomes "npu:1"',
        "scripts/port me.py:5:1: DP109 error this file names cuda and npu; it was not undone",
        "    help: undo it by hand",
        "scripts/port me.py:9:8: DP102 warning the port leaves it",
        "scripts/broken.py:3: error: '(' was never closed",
        "gone.py: error: no such file",
        "1 file would be rewritten in 2 places, 1 left unchanged. 2 findings: 1 error, 1 warning. "
        "2 files could not be ported.",
    ]


@pytest.mark.parametrize("mode", ["rewrite", "diff"])
def test_fixes_are_only_counted_where_they_were_made_or_shown(
    reports: list[FileReport], checking: RunContext, mode: str
) -> None:
    text = render("text", reports, replace(checking, mode=mode))
    assert "[*]" not in text
    assert "DP109 error" in text
    assert " in 2 places" in text


def test_quiet_leaves_errors_and_failures(reports: list[FileReport], checking: RunContext) -> None:
    lines = render("text", reports, replace(checking, quiet=True)).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "scripts/port me.py:5:1",
        "    help",
        "scripts/broken.py:3",
        "gone.py",
    ]


def test_quiet_without_errors_says_nothing(checking: RunContext) -> None:
    report = FileReport("a.py", True, (Finding("DP101", "fix", "x", 1, 1, 1, 2),))
    assert render("text", [report], replace(checking, quiet=True)) == ""


def test_statistics_count_the_most_frequent_first(reports: list[FileReport], rewriting: RunContext) -> None:
    many = [*reports, *(FileReport(f"{number}.py", True, reports[0].findings[:1]) for number in range(9))]
    lines = render("text", many, replace(rewriting, statistics=True)).splitlines()
    assert lines[-4:-1] == [
        "11  DP101  device-string      fix",
        " 1  DP102  device-comparison  warning",
        " 1  DP109  undo               error",
    ]


def test_a_cell_of_a_notebook_is_named(checking: RunContext) -> None:
    finding = Finding("DP101", "fix", "m", 2, 4, 2, 8, cell=3)
    lines = render("text", [FileReport("a.ipynb", True, (finding,))], checking).splitlines()
    assert lines[0] == "a.ipynb:cell 3:2:4: DP101 [*] m"


def test_names_and_messages_stay_on_their_line(checking: RunContext) -> None:
    report = FileReport("a\n\x1b[2J\udcff.py", failure=Failure("said\r\n::error::no\u2028"))
    first, _ = render("text", [report], checking).split("\n")
    assert first == r"a\n\x1b[2J\udcff.py: error: said\r\n::error::no\u2028"
    assert "提示词" in render("text", [FileReport("提示词.py", failure=Failure("no"))], checking)


def test_colour_changes_nothing_but_the_colour(reports: list[FileReport], checking: RunContext) -> None:
    colored = render("text", reports, replace(checking, color=True))
    assert "\x1b[31m\x1b[1mDP109\x1b[0m" in colored
    assert "\x1b[32m\x1b[1mDP101\x1b[0m" in colored
    assert click.unstyle(colored) == render("text", reports, checking)


def _findings(**counts: int) -> tuple[Finding, ...]:
    return tuple(
        Finding("DP101", severity, "m", 1, 1, 1, 1) for severity, count in counts.items() for _ in range(count)
    )


@pytest.mark.parametrize(
    ("reports", "sentence"),
    [
        ([], "No files to port."),
        ([FileReport("a.py")], "1 file left unchanged. No findings."),
        ([FileReport("a.py"), FileReport("b.py")], "2 files left unchanged. No findings."),
        ([FileReport("a.py", True, _findings(fix=1))], "1 file rewritten in 1 place. No findings."),
        (
            [FileReport("a.py", True, _findings(fix=1)), FileReport("b.py", True, _findings(fix=2)), FileReport("c")],
            "2 files rewritten in 3 places, 1 left unchanged. No findings.",
        ),
        (
            [FileReport("a.py", False, _findings(error=1, warning=2, note=1))],
            "1 file left unchanged. 4 findings: 1 error, 2 warnings, 1 note.",
        ),
        ([FileReport("a.py", False, _findings(note=1))], "1 file left unchanged. 1 finding: 1 note."),
        ([FileReport("a.py", failure=Failure("no"))], "1 file could not be ported."),
        (
            [FileReport("a.py", False, _findings(fix=4), Failure("not written: it is read-only"))],
            "1 file could not be ported.",
        ),
    ],
)
def test_the_summary_counts_in_plain_english(reports: list[FileReport], sentence: str, rewriting: RunContext) -> None:
    assert render("text", reports, rewriting).splitlines()[-1] == sentence


def test_files_that_support_the_target_are_counted(checking: RunContext) -> None:
    both = FileReport("a.py", findings=(Finding("DP116", "note", "supports npu already: 3 places", 1, 1, 1, 1),))
    alone = FileReport("b.py")
    assert "\n2 files left unchanged. 1 file already supports npu. 1 finding: 1 note." in render(
        "text", [both, alone], checking
    )
    assert "2 files already support npu." in render("text", [both, both], checking)
