"""DP415: packages made for CUDA in pyproject.toml and environment.yml."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, ported

CODE = "DP415"


@pytest.mark.parametrize(
    ("name", "text", "severity", "line"),
    [
        ("pyproject.toml", '[project]\ndependencies = ["flash-attn>=2", "numpy"]\n', "error", 2),
        ("pyproject.toml", '[project.optional-dependencies]\nfast = ["xformers"]\n', "error", 2),
        ("pyproject.toml", '[[tool.uv.index]]\nurl = "https://download.pytorch.org/whl/cu121"\n', "error", 2),
        ("pyproject.toml", '[build-system]\nrequires = ["torch>=2.1"]\n', "note", 2),
        ("environment.yml", "dependencies:\n  - pytorch-cuda=12.1\n", "error", 2),
        ("environment.yml", "dependencies:\n  - pip:\n    - nvidia-cudnn-cu12\n", "error", 3),
        ("environment.yml", "channels:\n  - nvidia\n", "error", 2),
    ],
)
def test_reported(name: str, text: str, severity: str, line: int) -> None:
    check_reported(name, text, CODE, severity, line)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[project]\ndependencies = ["numpy", "click"]\n'),
        ("pyproject.toml", '[project]\nkeywords = ["xformers"]\n'),
        ("pyproject.toml", '[project]\ndependencies = ["torch==2.7.1", "torch-npu==2.7.1"]\n'),
        ("environment.yml", "dependencies:\n  - python=3.11\nchannels:\n  - conda-forge\n"),
    ],
)
def test_left_alone(name: str, text: str) -> None:
    assert CODE not in [one.code for one in ported(name, text).findings]
