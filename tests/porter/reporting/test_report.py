"""The report: its numbers are those of the run, it is read in a browser, and it escapes what it is given."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from porter.findings import FileReport, Finding
from porter.reporting import RunContext, report_markdown, report_page
from porter.reporting.overview import overview

from ..conftest import Run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLASH = Finding("DP203", "error", "the package flash_attn is made for NVIDIA devices", 4, 1, 4, 9, "attention of torch")
NVTX = Finding("DP201", "error", "Ascend NPU has no torch.cuda.nvtx", 6, 1, 6, 9, "torch.npu.mstx")
NOTE = Finding("DP206", "note", "other random numbers <script>alert(1)</script>", 8, 1, 8, 9)


@pytest.fixture
def many(reports: list[FileReport]) -> list[FileReport]:
    more = [
        FileReport(f"pack/age{n % 3}/m{n}.py", False, (NVTX, NVTX._replace(line=9), FLASH, NOTE)) for n in range(600)
    ]
    return [*reports, *more]


@pytest.fixture
def context(checking: RunContext) -> RunContext:
    return replace(checking, not_looked_at=("kernel.s",))


def test_its_numbers_are_those_of_the_run(many: list[FileReport], context: RunContext) -> None:
    found = overview(many, context)
    findings = [one for report in many for one in report.findings if not one.is_fix]
    assert sum(group.count for group in (*found.groups, *found.dependencies)) == len(findings) > 2000
    assert sum(kind.places for kind in found.kinds) == sum(len(report.findings) for report in many)
    assert sum(folder.summary.files for folder in found.folders) == len(many)
    assert sum(folder.summary.errors for folder in found.folders) == found.summary.errors == 1801
    assert [(group.code, group.count) for group in found.dependencies] == [("DP203", 600)]
    assert [(group.code, group.count) for group in found.of("error")] == [("DP201", 1200), ("DP109", 1)]


def test_the_work_is_in_order(many: list[FileReport], context: RunContext) -> None:
    steps = overview(many, context).steps
    assert [step.anchor for step in steps] == [
        "failures", "dependencies", "folders", "error", "warning", "note", "not-looked-at",
    ]  # fmt: skip
    assert steps[3].amount == "2 kinds, 1,201 places"


def test_folders_that_are_too_many_are_told_by_those_above(context: RunContext) -> None:
    found = overview([FileReport(f"pack/{n}/{n}/a.py") for n in range(200)], context).folders
    assert [(folder.name, folder.whole, folder.summary.files) for folder in found] == [("pack", True, 200)]


def test_the_page_has_a_target_for_each_link_and_fetches_nothing(many: list[FileReport], context: RunContext) -> None:
    text = report_page.render(many, context)
    links, anchors = set(re.findall(r'href="([^"]+)"', text)), set(re.findall(r' id="([^"]+)"', text))
    assert links
    assert {link.removeprefix("#") for link in links} <= anchors
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert "<script>alert(1)" not in text
    assert "DP203 cuda-only-package: a package" in text


def test_markdown_says_the_same(many: list[FileReport], context: RunContext) -> None:
    text = report_markdown.render(many, context)
    assert "1,801 errors" in text
    assert "(1,200 places)" in text
    assert "- and 580 more files" in text
    assert "\\<script\\>" in text
    widths = {
        len(re.findall(r"(?<!\\)\|", line))
        for line in text.split("## By folder")[1].split("##")[0].splitlines()
        if line
    }
    assert len(widths) == 1


def test_a_tree_with_nothing_to_do_is_told_so(checking: RunContext) -> None:
    text = report_markdown.render([FileReport("a.py")], checking)
    assert "1 file, 0 changes" in text
    assert "Nothing is left to do." in text
    assert "In this order" not in text
    assert "Effort" not in text


@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_a_browser_reads_and_filters_it(many: list[FileReport], context: RunContext, tmp_path: Path) -> None:
    ask = """<script>
    box.value = "FLASH_attn"; filter();
    document.body.dataset.left = groups.filter(({group}) => !group.hidden).length;
    box.value = "pack/age1/m1.py"; filter();
    document.body.dataset.lines = document.querySelectorAll(".places > li:not([hidden])").length;
    open("#DP203"); document.body.dataset.opened = document.getElementById("DP203").open;
    document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth;
    </script></body>"""
    file = tmp_path / "report.html"
    file.write_text(report_page.render(many, context).replace("</body>", ask), encoding="utf-8")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([*command, "--dump-dom", file.as_uri()], capture_output=True, check=True, timeout=120)
    (body,) = re.findall(r"<body[^>]*>", done.stdout.decode())
    assert 'data-left="1"' in body
    assert 'data-lines="4"' in body  # three groups, and the file that was not looked at
    assert 'data-opened="true"' in body
    assert 'data-wide="false"' in body


def test_the_command_writes_both(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import torch\ntorch.cuda.nvtx.mark('x')\n", encoding="utf-8")
    done = run("a.py", "--target", "npu", "--check", "--report", "r.html", "--report", "r.md")
    assert done.returncode == 1
    assert b"report written to r.md" in done.stderr
    assert "DP201" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "## Errors" in (tmp_path / "r.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "said"), [("r.pdf", "has to end in .html or .md"), ("gone/r.md", "there is no such folder")]
)
def test_what_cannot_be_written_is_named_first(run: Run, tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / "a.py").write_text('x.to("cuda")\n', encoding="utf-8")
    done = run("a.py", "--target", "npu", "--report", file)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == 'x.to("cuda")\n'
