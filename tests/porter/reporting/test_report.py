"""The report: its numbers are those of the run, it is read in a browser, and it escapes what it is given."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from porter.findings import FileReport, Finding
from porter.reporting import report_markdown, report_page
from porter.reporting.context import RunContext
from porter.reporting.overview import DEPENDENCIES, overview

from ..conftest import Run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLASH = Finding("DP203", "error", "the package flash_attn is made for NVIDIA devices", 4, 1, 4, 9, "attention of torch")
NVTX = Finding("DP201", "error", "Ascend NPU has no torch.cuda.nvtx", 6, 1, 6, 9, "torch.npu.mstx")
#: What has a finding of every kind.
SOURCE = """import torch, flash_attn
x = torch.cuda.nvtx.mark("a < b"); x.cuda()
y = build("cuda"); z = torch.zeros(2, dtype=torch.float64, device="cuda").sin()
torch.manual_seed(0); t = torch.randn(3, device="cuda"); os.system("python a.py --device cuda")
seen["cuda"] = 1
"""
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


def test_files_that_serve_both_are_one_group(context: RunContext) -> None:
    both = [
        FileReport(f"{count}.py", False, (Finding("DP116", "note", f"supports npu already: {said}", 1, 1, 1, 1),))
        for count, said in enumerate(("1 place", "2 places", "31 places"))
    ]
    found = overview(both, context)
    assert [(one.message, one.count) for one in found.groups] == [("supports npu already", 3)]
    assert [one.different for one in found.kinds] == [1]


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
    openAt("#DP203"); document.body.dataset.opened = document.getElementById("DP203").open;
    addEventListener("load", () => setTimeout(() => {
      const at = document.getElementById("DP201").getBoundingClientRect();
      document.body.dataset.seen = scrollY > 0 && at.top >= 0 && at.top < innerHeight;
    }, 100));
    document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth;
    </script></body>"""
    file = tmp_path / "report.html"
    file.write_text(report_page.render(many, context).replace("</body>", ask), encoding="utf-8")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", f"{file.as_uri()}#DP201"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    (body,) = re.findall(r"<body[^>]*>", done.stdout.decode())
    assert 'data-left="1"' in body
    assert 'data-lines="4"' in body  # three groups, and the file that was not looked at
    assert 'data-opened="true"' in body
    assert 'data-seen="true"' in body  # what the address names is open, and in sight below the filter
    assert 'data-wide="false"' in body


def test_every_number_of_page_and_markdown_is_one_of_the_same_runs_json(run: Run, tmp_path: Path) -> None:
    """Counted again from the findings of the run, by this test's own arithmetic."""
    tree = tmp_path / "tree"
    for number in range(7):
        folder = tree / ("top", "top/below", "other")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"m{number}.py").write_text(SOURCE * (number + 1), encoding="utf-8")
    (tree / "broken.py").write_text("x = torch.cuda.f(\n", encoding="utf-8")
    (tree / "k.s").write_text(".global cuda_kernel\n", encoding="utf-8")
    done = run("tree", "--target", "npu", "--check", "--format", "json", "--report", "r.html", "--report", "r.md")
    told = json.loads(done.stdout)
    files, summary = told["files"], told["summary"]
    pairs = [(file["path"], one) for file in files for one in file["findings"]]
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    text = (tmp_path / "r.md").read_text(encoding="utf-8")

    by_severity = Counter(one["severity"] for _, one in pairs)
    unsafe = [one for _, one in pairs if one["severity"] == "fix" and one["applicability"] == "unsafe"]
    assert (summary["fixes"], summary["unsafe"], summary["errors"]) == (
        by_severity["fix"],
        len(unsafe),
        by_severity["error"],
    )
    assert _numbers(re.findall(r'<span class="chip[^"]*">([\d,]+ [^<]*)</span>', page.partition("</section>")[0])) == [
        len(files), by_severity["fix"], len(unsafe), by_severity["error"], by_severity["warning"], by_severity["note"],
        1,
    ]  # fmt: skip

    sections = dict(re.findall(r'<h2 id="([\w-]+)">[^<]*<span class="soft">([^<]*)</span>', page))
    dependencies = [one for _, one in pairs if one["code"] in DEPENDENCIES and one["severity"] != "fix"]
    others = [one for _, one in pairs if one["code"] not in DEPENDENCIES]
    for anchor, own in {
        "dependencies": dependencies, "unsafe": unsafe,
        **{name: [one for one in others if one["severity"] == name] for name in ("error", "warning", "note")},
    }.items():  # fmt: skip
        assert _numbers([sections[anchor]])[:2] == [len({_said(one) for one in own}), len(own)]
    for (code, message), amount in _groups_of(page):
        same = [
            one for _, one in pairs if (one["code"], one["message"]) == (code, message) and one["severity"] != "fix"
        ]
        assert amount == (len(same) or len(unsafe))

    folders = Counter(path.rpartition("/")[0] for path, _ in ((file["path"], 0) for file in files))
    rows = re.findall(
        r"^\| `([^`]+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", text, re.MULTILINE
    )
    assert {name: int(count) for name, count, *_ in rows} == folders
    for name, _, changed, fixes, errors, warnings, notes, failed in rows:
        own = [file for file in files if file["path"].rpartition("/")[0] == name]
        count = Counter(one["severity"] for file in own for one in file["findings"])
        assert (int(changed), int(failed)) == (
            sum(f["changed"] for f in own),
            sum(f["failure"] is not None for f in own),
        )
        expected = (count["fix"], count["error"], count["warning"], count["note"])
        assert (int(fixes), int(errors), int(warnings), int(notes)) == expected

    kinds = re.findall(r"^\| ([A-Z]+\d{3}) \| .* \| (\w+) \| (\d+) \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    assert {(code, severity): int(places) for code, severity, places, *_ in kinds} == Counter(
        (one["code"], one["severity"]) for _, one in pairs
    )
    for code, severity, _, different, where in kinds:
        own_pairs = [(path, one) for path, one in pairs if (one["code"], one["severity"]) == (code, severity)]
        assert int(different) == len({one["message"] for _, one in own_pairs})
        assert int(where) == len({path for path, _ in own_pairs})
    assert _numbers(re.findall(r"<li><a[^>]*>[^<]*</a> - ([^<]*)<", page)) == _numbers(
        re.findall(r"^\d+\. \*\*[^*]*\*\*: ([^.]*)\.", text, re.MULTILINE)
    )


def _said(finding: dict[str, Any]) -> tuple[str, ...]:
    return finding["code"], finding["severity"], finding["message"], finding["help"] or ""


def _numbers(texts: list[str]) -> list[int]:
    return [int(one.replace(",", "")) for text in texts for one in re.findall(r"\d[\d,]*", text)]


def _groups_of(page: str) -> list[tuple[tuple[str, str], int]]:
    found = re.findall(
        r'<details class="group"><summary><span class="chip \w+">(\w+)</span>(.*?)<span class="amount">([\d,]+)</span>',
        page,
    )
    found = [(code, re.sub(r'<span class="soft">.*?</span>', "", said), amount) for code, said, amount in found]
    return [((code, unescape(message)), int(amount.replace(",", ""))) for code, message, amount in found]


def test_the_command_writes_both(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import torch\ntorch.cuda.nvtx.mark('x')\n", encoding="utf-8")
    done = run("a.py", "--target", "npu", "--check", "--report", "r.html", "--report", "r.md")
    assert done.returncode == 1
    assert b"report written to r.md" in done.stderr
    assert "DP201" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "## Errors" in (tmp_path / "r.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("r.pdf", "has to end in .html or .md"),
        ("r.json", "has to end in .html or .md; for programs, --format json "),
        ("gone/r.md", "there is no such folder"),
        (f"{'r' * 300}.md", "r.md cannot be written: "),
        ("folder.md", "folder.md is a folder; name a file"),
    ],
)
def test_what_cannot_be_written_is_named_first(run: Run, tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / "a.py").write_text('x.to("cuda")\n', encoding="utf-8")
    (tmp_path / "folder.md").mkdir()
    done = run("a.py", "--target", "npu", "--report", file)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == 'x.to("cuda")\n'
