"""DP306: questions about CUDA's compute capability."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP306"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("major, minor = torch.cuda.get_device_capability()", 1),
        ("if torch.cuda.get_device_capability(0) >= (8, 0): pass", 1),
        ("torch.npu.get_device_capability()", 1),
        ("from torch import cuda\ncuda.get_device_capability()", 2),
        ("from torch.cuda import get_device_capability\nget_device_capability()", 2),
        ("major = torch.cuda.get_device_properties(0).major", 1),
        ("count = torch.npu.get_device_properties(0).multi_processor_count", 1),
    ],
)
def test_the_question_is_a_warning(text, line):
    check_reported(text, CODE, "warning", line)


@pytest.mark.parametrize(
    "text",
    [
        "name = torch.cuda.get_device_name()",
        "if torch.cuda.is_bf16_supported(): pass",
        "torch.xpu.get_device_capability()",
        "platform.get_device_capability()",
        "from .cuda import get_device_capability\nget_device_capability()",
        "total = torch.cuda.get_device_properties(0).total_memory",
        "name = torch.npu.get_device_properties(0).name",
        "properties = torch.cuda.get_device_properties(0)",
        "ask = torch.cuda.get_device_capability",
    ],
)
def test_other_questions_are_left_alone(text):
    check_silent(text, CODE)
