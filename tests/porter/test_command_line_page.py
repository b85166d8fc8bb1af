"""docs/command-line.md tells of every option, setting and exit status, and its examples are true."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from porter.cli import command
from porter.settings import load_settings
from porter.settings_keys import CHECKS

from .conftest import ROOT, Run

PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
CELLS = {line.split(" | ")[0].removeprefix("| ") for line in PAGE.splitlines() if line.startswith("| ")}

GENERATE = """\
import torch
from diffsynth.pipelines.wan_video import WanVideoPipeline

pipe = WanVideoPipeline.from_pretrained(torch_dtype=torch.bfloat16, device="cuda")
vram_limit = torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 2
video = pipe(prompt="a cat", seed=0, rand_device="cuda")
"""
PROFILE = 'import torch\n\ntorch.cuda.nvtx.range_push("step")\n'


def test_it_tells_of_every_option_and_no_other() -> None:
    options = {
        name
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }
    described = set(re.findall(r"(?<!\S)`(--?[a-z][a-z-]*)", " ".join(cell for cell in CELLS if cell.startswith("`-"))))
    assert described - {"-h", "--help"} == options


def test_it_tells_of_every_setting_and_no_other() -> None:
    table = PAGE[PAGE.index("| key | value |") :].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE) == list(CHECKS)


def test_its_settings_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert (settings.target, settings.fail_on) == ("npu", "warning")
    assert "DP102" in settings.ignored_codes("tests/porter/a.py")


def test_its_example_of_the_output_is_true(run: Run, tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name, text in (("generate.py", GENERATE), ("profile.py", PROFILE), ("clean.py", "print(1)\n")):
        (scripts / name).write_text(text, encoding="utf-8")
    done = run("scripts", "--target", "npu", "--check")
    shown = "".join(f"    {line}\n" for line in done.stdout.decode().splitlines())
    assert shown
    assert shown in PAGE


def test_its_ignore_comments_work(run: Run, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "a.py").write_text(example + 'device = "cuda"\n', encoding="utf-8")
    assert run("a.py", "--target", "npu").returncode == 0
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == example + 'device = "npu"\n'


def test_its_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    targets = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert targets
    for target in targets:
        assert target[1:] in headings if target.startswith("#") else (ROOT / "docs" / target.partition("#")[0]).exists()
