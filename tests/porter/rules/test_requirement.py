"""DP416: packages made for CUDA in requirements.txt; and what is said of any requirement."""

from __future__ import annotations

import pytest

from porter.required_packages import judged, judged_index
from tests.porter.documents.porting import check_reported, check_silent, ported

CODE = "DP416"


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "dev-requirements.txt", "requirements/gpu.txt"]
)
def test_files_of_requirements(name: str) -> None:
    check_reported(name, "numpy\nflash-attn>=2.6  # fast\n", CODE, "error", 2)


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("--extra-index-url https://download.pytorch.org/whl/cu121", "error"),
        ("-f https://data.pyg.org/whl/torch-2.5.0+cu121.html", "error"),
        ("torch==2.5.1+cu121", "error"),
        ("torch==2.4.1", "error"),
        ("torch==2.5.1", "note"),
        ("torch", "note"),
        ("torch==2.9.*", "note"),
        ("torch==2.9", "note"),
        ("torch==2.0.*", "error"),
        ("nvidia-cublas-cu12==12.1.3.1", "error"),
        ("flash_attn", "error"),
        ("xformers>=0.0.28; sys_platform == 'linux'", "error"),
        ("vllm", "warning"),
        ("decord", "warning"),
        ("onnxruntime-gpu", "error"),
        ("cupy-cuda12x", "error"),
    ],
)
def test_a_requirement(line: str, severity: str) -> None:
    check_reported("requirements.txt", f"{line}\n", CODE, severity)


@pytest.mark.parametrize(
    "text",
    [
        "numpy\n",
        "# flash-attn\n",
        "-r base.txt\n",
        "torch==2.5.1\ntorch-npu==2.5.1.post1\n",
        "flash-attn  # port: ignore\n",
    ],
)
def test_left_alone(text: str) -> None:
    assert CODE not in [one.code for one in ported("requirements.txt", text).findings]
    check_silent("requirements.txt", "torchmetrics\n")


def test_torch_with_the_torch_npu_of_its_own() -> None:
    found = judged("torch==2.7.1", "npu")
    assert found is not None
    assert found.way_out == "torch==2.7.1 with torch-npu==2.7.1.post11"
    assert judged("torch==2.7.1", "xpu") is None
    assert judged("torchvision==0.20.1", "npu") is None


def test_whether_there_is_a_wheel_for_aarch64() -> None:
    flash, bits = judged("flash-attn", "npu"), judged("bitsandbytes", "npu")
    assert flash is not None
    assert bits is not None
    assert ("aarch64" in flash.message, "aarch64" in bits.message) == (True, False)
    assert judged("decord", "xpu") is None


def test_an_index() -> None:
    found = judged_index("https://download.pytorch.org/whl/cu124", "xpu")
    assert found is not None
    assert found.way_out == "https://download.pytorch.org/whl/xpu"
    assert judged_index("https://download.pytorch.org/whl/cpu", "npu") is None
    assert judged_index("https://example.org/cuisine", "npu") is None
