"""DP205: switches and questions of CUDA's own libraries."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP205"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("torch.backends.cudnn.benchmark = True", 1),
        ("import torch.backends.cudnn as cudnn\ncudnn.deterministic = True", 2),
        ("from torch.backends import cudnn\nprint(cudnn.enabled)", 2),
        ("torch.backends.cuda.matmul.allow_tf32 = True", 1),
        ("from torch.backends.cuda import matmul\nmatmul.allow_tf32 = True", 2),
        ("torch.backends.cuda.enable_flash_sdp(False)", 1),
        ("with torch.backends.cudnn.flags(enabled=False):\n    pass", 1),
        ("with torch.nn.attention.sdpa_kernel(backends):\n    pass", 1),
        ("with torch.backends.cuda.sdp_kernel(enable_math=False):\n    pass", 1),
        ("from torch.nn.attention import sdpa_kernel", 1),
    ],
)
def test_a_switch_is_a_note(text, line):
    check_reported(text, CODE, "note", line)


@pytest.mark.parametrize(
    "text",
    [
        "torch.backends.mkldnn.enabled = True",
        "import other.cudnn as cudnn\ncudnn.deterministic = True",
        "from .backends import cudnn\nprint(cudnn.enabled)",
        "torch.npu.matmul.allow_hf32 = True",
        "torch.use_deterministic_algorithms(True)",
        "torch.set_float32_matmul_precision('high')",
        "import torch.backends.cudnn",
        "from torch.backends import cudnn",
        "from torch.backends.cuda import matmul",
        "from torch.nn.functional import scaled_dot_product_attention",
        "torch.backends.cuda.cufft_plan_cache.clear()",
        '"torch.backends.cudnn.benchmark"',
    ],
)
def test_other_switches_and_bare_imports_are_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize(
    "text",
    [
        "assert torch.version.cuda",
        "from torch.version import cuda",
        "major = torch.version.cuda.split('.')[0]",
        "torch.backends.cuda.is_built()",
        "torch.backends.cudnn.is_available()",
        "if torch.backends.cudnn.version() >= 8000: pass",
    ],
)
def test_a_question_about_cuda_is_a_warning(text):
    check_reported(text, CODE, "warning")


@pytest.mark.parametrize(
    "text",
    [
        "assert torch.version.hip",
        "from torch.version import git_version",
        "major = torch.__version__.split('.')[0]",
        "torch.cuda.is_available()",
        "torch.backends.mps.is_built()",
        "if torch.backends.mkldnn.is_available(): pass",
    ],
)
def test_other_questions_are_left_alone(text):
    check_silent(text, CODE)


def test_what_the_port_renames_is_left_alone():
    check_reported("torch.backends.cuda.is_built()", CODE, "warning", target="npu")
    check_silent("torch.backends.cuda.is_built()", CODE, target="mps")
    check_reported("torch.backends.cuda.cufft_plan_cache.clear()", CODE, "note", target="xpu")


def test_the_way_out_of_tf32_is_the_targets():
    text = "torch.backends.cuda.matmul.allow_tf32 = True"
    assert check_reported(text, CODE, "note").way_out == "torch.npu.matmul.allow_hf32"
    assert "set_float32" in check_reported(text, CODE, "note", target="xpu").way_out
