"""DP406: NVIDIA's command-line tools in a shell script."""

from __future__ import annotations

import pytest

from tests.porter.shell.launching import check_reported, check_silent

CODE = "DP406"


@pytest.mark.parametrize(
    "script",
    [
        "nvidia-smi",
        "nvidia-smi -L | wc -l",
        "N=$(nvidia-smi -L | wc -l)",
        "/usr/bin/nvidia-smi --query-gpu=name",
        "watch -n 1 nvidia-smi",
        "sudo nvidia-smi -pm 1",
        "if nvidia-smi > /dev/null; then echo; fi",
        "nvcc --version",
        "nsys profile -o out python generate.py",
        "ncu python generate.py",
        "compute-sanitizer python generate.py",
        "gpustat",
        "X=1 dcgmi discovery -l",
    ],
)
def test_reported(script: str) -> None:
    check_reported(script + "\n", CODE, "warning")


@pytest.mark.parametrize(
    "script",
    [
        "npu-smi info",
        "rocm-smi",
        "# nvidia-smi",
        "echo nvidia-smi",
        "cat nvidia-smi.log",
        "my-nvidia-smi",
        "grep nvcc log",
        "nvidia-smi  # port: ignore",
        "SMI=nvidia-smi-exporter",
    ],
)
def test_left_alone(script: str) -> None:
    check_silent(script + "\n")


@pytest.mark.parametrize(
    ("tool", "target", "way_out"),
    [
        ("nvidia-smi", "npu", "npu-smi info"),
        ("nvidia-smi", "xpu", "xpu-smi"),
        ("nvidia-smi", "mps", "ask torch.accelerator"),
        ("nsys profile x", "npu", "msprof"),
        ("nvprof x", "musa", "torch.profiler"),
        ("nvcc x.cu", "npu", "take out what it compiles"),
        ("cuda-gdb x", "npu", "leave it out"),
    ],
)
def test_the_way_out_is_the_targets(tool: str, target: str, way_out: str) -> None:
    assert check_reported(tool + "\n", CODE, "warning", target).way_out == way_out
