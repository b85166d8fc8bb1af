"""DP211: a string that names CUDA, and no rule knows what for."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP211"


@pytest.mark.parametrize(
    "text",
    [
        'is_supported = "nvidia" in name.lower()',
        'if vendor == "NVIDIA": pass',
        'kind = " (cuda)"',
        'if "CUDA" in error.args[0]: pass',
        'run("srun --gres gpu:cuda:1")',
        're.match(r"^cuda(:\\d+)?$", device)',
        'PATTERN = r"(cpu|cuda):(\\d+)"',
        'is_known = re.compile("^(cpu|cuda)$")',
    ],
)
def test_reported(text: str) -> None:
    check_reported(text, CODE, "note")


@pytest.mark.parametrize(
    "text",
    [
        'model.to("cuda")',
        'x.to(f"cuda:{rank}")',
        'print("nvidia")',
        'raise ValueError("no cuda here")',
        'raise ValueError("no "\n                 f"cuda, but {device}")',
        '"""Runs on cuda."""',
        'path = "/usr/local/cuda/bin"',
        'prompt = "cuda"',
        'vendor = "NVIDIA"',
        'flag = "use_cuda"',
        'stats["cuda"] = 1',
        'subprocess.run(["nvidia-smi"])',
        'names = {"cuda kernel": 1}',
        'add_argument("--x", help="cuda or cpu")',
        "# cuda",
        're.match(r"torch\\.cuda\\.\\w+", name)',
        're.sub(r"lib/cuda-\\d+", "", path)',
        're.findall(r"\\w+_cuda$", name)',
        'os.environ["CUDA_HOME"]',
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)
