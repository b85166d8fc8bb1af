"""DP414: GPUs that a configuration file asks a framework or cluster for."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, ported

CODE = "DP414"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("limits:\n  nvidia.com/gpu: 1\n", 2),
        ("services:\n  a:\n    runtime: nvidia\n", 3),
        ("devices:\n  - driver: nvidia\n", 2),
        ("image: nvidia/cuda:12.1-devel\n", 1),
        ("image: pytorch/pytorch:2.5.1-cuda12.1-cudnn9-runtime\n", 1),
        ("trainer:\n  accelerator: gpu\n", 2),
    ],
)
def test_reported(text: str, line: int) -> None:
    check_reported("c.yaml", text, CODE, "error", line)


@pytest.mark.parametrize(
    "text", ["accelerator: gpu\n", "image: ubuntu:22.04\n", "runtime: python3.11\n", "trainer:\n  accelerator: cpu\n"]
)
def test_left_alone(text: str) -> None:
    assert CODE not in [one.code for one in ported("c.yaml", text).findings]
