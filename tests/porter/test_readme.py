"""What the READMEs show of the command is what the command prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import ROOT, Run

TRAIN = """\
import torch
import os

from flash_attn import flash_attn_func

torch.cuda.nvtx.range_push("train")
freqs = torch.polar(lengths, angles)
video = pipe(prompt, rand_device="cuda")
"""


@pytest.fixture(params=["README.md", "README.zh.md"])
def readme(request: pytest.FixtureRequest) -> str:
    return (ROOT / request.param).read_text(encoding="utf-8")


def test_its_report_is_true(readme: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN, encoding="utf-8")
    done = run("train.py", "--target", "npu")
    assert f"$ diffsynth-port train.py --target npu\n{done.stdout.decode()}```" in readme


def test_its_diff_is_true(readme: str, run: Run, tmp_path: Path) -> None:
    script = ROOT / "examples" / "wanvideo" / "model_inference_low_vram" / "Wan2.1-T2V-14B.py"
    (tmp_path / "my.py").write_bytes(script.read_bytes())
    done = run("my.py", "--target", "npu", "--diff")
    (shown,) = re.findall(r"```diff\n(.*?)```", readme, re.DOTALL)
    assert done.stdout.decode() == shown
