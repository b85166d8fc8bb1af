"""DP216: parts of torch that are about CUDA, outside of torch.cuda."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP216"


@pytest.mark.parametrize(
    "text",
    [
        "torch._C._cuda_getDeviceCount()",
        "torch._inductor.cudagraph_mark_step_begin()",
        "torch._inductor.config.triton.cudagraphs = True",
        "from torch._inductor import cudagraph_trees",
        "x = event.device_type == torch.autograd.DeviceType.CUDA",
        "from torch.autograd import DeviceType; x = event.device_type == DeviceType.CUDA",
    ],
)
def test_reported(text: str) -> None:
    check_reported(text, CODE, "note")


@pytest.mark.parametrize(
    "text",
    [
        "torch._C._get_tracing_state()",
        "torch._inductor.config.max_autotune = True",
        'if hasattr(torch._C, "_cuda_getDeviceCount"):\n    torch._C._cuda_getDeviceCount()',
        "torch.cuda.empty_cache()",
        "torch.version.cuda",
        "torch.compiler.cudagraph_mark_step_begin()",
        "mylib._C.cuda_sum()",
        "x = event.device_type == torch.autograd.DeviceType.CPU",
        "from mylib import DeviceType\nx = DeviceType.CUDA",
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)
