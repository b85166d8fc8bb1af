"""DP410: packages made for CUDA that a script installs."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, ported

CODE = "DP410"


@pytest.mark.parametrize(
    "text",
    [
        "pip install torch --index-url https://download.pytorch.org/whl/cu121",
        "python -m pip install flash-attn --no-build-isolation",
        "uv pip install 'xformers>=0.0.28'",
        "conda install -y pytorch-cuda=12.1",
        "conda create -n x -c nvidia python=3.11",
        "sudo pip3 install nvidia-cudnn-cu12",
    ],
)
def test_reported(text: str) -> None:
    check_reported("a.sh", text + "\n", CODE, "error")


@pytest.mark.parametrize(
    "text",
    [
        "pip install torch numpy",
        "pip install -r requirements-flash-attn.txt",
        "pip uninstall xformers",
        "echo pip install flash-attn",
        "pip install -e .",
        "# pip install flash-attn",
    ],
)
def test_left_alone(text: str) -> None:
    assert CODE not in [one.code for one in ported("a.sh", text + "\n").findings]
