"""DP201: an API of torch.cuda that the target does not have."""

from __future__ import annotations

import pytest
import torch

from porter.rules.missing_api import ACCELERATOR_NAMES
from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP201"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('torch.cuda.nvtx.range_push("denoise")', 1),
        ('import torch as th\nth.cuda.nvtx.range_push("denoise")', 2),
        ('from torch import cuda\ncuda.nvtx.range_push("denoise")', 2),
        ('import torch.cuda as tc\ntc.nvtx.range_push("denoise")', 2),
        ('from torch.cuda import nvtx\nnvtx.range_push("denoise")', 1),
        ('import torch.cuda.nvtx as marks\nmarks.range_push("denoise")', 1),
        ("from torch.cuda import (\n    empty_cache,\n    list_gpu_processes,\n)", 3),
        ("from torch.cuda.memory import list_gpu_processes", 1),
        ("total = torch.cuda.memory_usage()", 1),
        ("half = torch.cuda.has_half", 1),
        ("torch.cuda.comm.scatter(batch, (0, 1))", 1),
        ("@torch.cuda.nvtx.range('step')\ndef step():\n    pass", 1),
    ],
)
def test_what_the_target_lacks_is_an_error(text, line):
    assert check_reported(text, CODE, "error", line).way_out


@pytest.mark.parametrize(
    "text",
    [
        "torch.cuda.empty_cache()",
        'import torch as th\nth.cuda.synchronize("cuda")',
        "from torch import cuda\ncuda.empty_cache()",
        "import torch.cuda as tc\ntc.empty_cache()",
        "from torch.cuda import (\n    empty_cache,\n    synchronize,\n)",
        "total = torch.cuda.memory_stats()",
        'torch.npu.mstx.range_start("denoise")',
        'nvtx.range_push("denoise")',
        'model.cuda.nvtx.range_push("denoise")',
        "from .cuda import nvtx",
        '"torch.cuda.nvtx.range_push"',
        "with torch.cuda.stream(torch.cuda.Stream()) as stream:\n    pass",
        "except_ = torch.cuda.OutOfMemoryError",
        "import torch.cuda",
        "from torch.cuda import *",
        "torch.cuda",
    ],
)
def test_what_the_target_has_is_left_alone(text):
    check_silent(text, CODE)


def test_the_message_and_the_way_out_name_the_api():
    found = check_reported("torch.cuda.nvtx.mark('x')", CODE, "error")
    assert found.message == "Ascend NPU has no torch.cuda.nvtx"
    assert found.way_out == "torch.npu.mstx"


@pytest.mark.parametrize(
    "text",
    [
        "print(torch.cuda.memory_summary())",
        "print(torch.npu.memory_summary())",
        "from torch.cuda import memory_summary",
        "from torch import cuda\nprint(cuda.memory_summary())",
        "torch.cuda.memory.CUDAPluggableAllocator(path, 'a', 'f')",
    ],
)
def test_what_one_hardware_line_refuses_is_an_error_there_only(text):
    line = text.count("\n") + 1
    found = check_reported(text, CODE, "error", line, hardware="ascend-950dt")
    assert "ascend-950dt" in found.message
    check_silent(text, CODE, hardware="atlas-a2")
    check_silent(text, CODE, hardware="atlas-a3")


@pytest.mark.parametrize(
    "text",
    [
        "torch.cuda.brand_new_query()",
        "from torch.cuda import brand_new_query",
        "import torch.cuda.brand_new as new",
        "torch.cuda.amp.brand_new_query()",
    ],
)
def test_what_the_table_does_not_know_is_a_warning(text):
    assert "does not know" in check_reported(text, CODE, "warning").message


@pytest.mark.parametrize(
    "text",
    [
        "torch.cuda.Stream().brand_new_query()",
        "torch.cuda.CUDAGraph.brand_new_query",
        "torch.xpu.brand_new_query()",
        "torch.npu.brand_new_query()",
    ],
)
def test_what_lies_below_a_known_class_or_another_module_is_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize(
    "text",
    [
        'torch.cuda.synchronize("cuda")',
        "torch.cuda.synchronize(device=0)",
        "torch.mps.synchronize(0)",
        "from torch.cuda import synchronize; synchronize(0)",
        "torch.cuda.memory_allocated(0)",
        "torch.cuda.set_per_process_memory_fraction(0.5, 0)",
    ],
)
def test_a_device_argument_that_the_target_does_not_take_is_an_error(text):
    assert "takes no argument" in check_reported(text, CODE, "error", target="mps").message
    check_silent(text.replace("torch.mps", "torch.cuda"), CODE, target="npu")


@pytest.mark.parametrize(
    "text",
    [
        "torch.cuda.synchronize()",
        "torch.cuda.memory_allocated()",
        "torch.cuda.set_per_process_memory_fraction(0.5)",
        "from torch.cuda import synchronize; synchronize()",
        "other.synchronize(0)",
        "torch.cuda.manual_seed(0)",
    ],
)
def test_a_call_without_a_device_is_left_alone(text):
    check_silent(text, CODE, target="mps")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name = torch.accelerator.get_device_name()", 1),
        ("from torch.accelerator import get_device_properties", 1),
        ("from torch import accelerator\naccelerator.manual_seed(0)", 2),
    ],
)
def test_what_torch_accelerator_never_had_is_an_error(text, line):
    assert "torch.get_device_module()." in check_reported(text, CODE, "error", line).way_out


@pytest.mark.parametrize(
    "text",
    [
        "name = torch.accelerator.current_accelerator()",
        "from torch.accelerator import get_device_capability",
        "from accelerate import Accelerator\naccelerator = Accelerator()\naccelerator.manual_seed(0)",
        "name = torch.accelerator.brand_new_query()",
    ],
)
def test_what_torch_accelerator_has_or_may_get_is_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="the names are those of torch 2.13")
def test_the_names_of_torch_accelerator_are_those_of_torch():
    import inspect

    public = {
        name
        for name, value in vars(torch.accelerator).items()
        if name in torch.accelerator.__all__ or (inspect.ismodule(value) and hasattr(value, "__path__") is False)
    }
    assert ACCELERATOR_NAMES - {"graphs", "memory"} == set(torch.accelerator.__all__)
    assert {"graphs", "memory"} <= public
