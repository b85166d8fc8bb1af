"""DP201: an API of torch.cuda that the target does not have."""

from __future__ import annotations

import pytest
import torch

from porter.torch_minors import has
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


@pytest.mark.parametrize(
    ("text", "name", "lacks", "has_it", "since"),
    [
        ("torch.accelerator.memory_allocated()", "accelerator.memory_allocated", "2.8.0.post5", "2.9.1", "2.9"),
        ("from torch.accelerator import empty_cache", "accelerator.empty_cache", "2.7.1.post11", "2.9.0.post9", "2.9"),
        ("with torch.accelerator.device_index(0): pass", "accelerator.device_index", "2.7.1", "2.8.0.post5", "2.8"),
        ("torch.accelerator.get_memory_info()", "accelerator.get_memory_info", "2.9.1", "2.10.0.post7", "2.10"),
        ("torch.accelerator.Graph()", "accelerator.Graph", "2.11.0.post3", "2.12.0.post3", "2.12"),
        ("torch.accelerator.random.manual_seed(0)", "accelerator.random", "2.13.0", "2.14.0", "2.14"),
        ("from torch.accelerator import random", "accelerator.random", "2.13.0", None, "2.14"),
        ("torch.accelerator.synchronize()", "accelerator", "2.5.1.post1", "2.6.0", "2.6"),
        ("import torch.accelerator", "accelerator", "2.1.0.post17", "2.6.0.post5", "2.6"),
    ],
)
def test_torch_accelerator_is_that_of_the_torch_of_the_build(text, name, lacks, has_it, since):
    found = check_reported(text, CODE, "error", torch_npu=lacks)
    torch_has = ".".join(lacks.split(".")[:2])
    assert found.message == f"torch {torch_has} has no torch.{name}; it is there from torch {since} on"
    check_silent(text, CODE, torch_npu=has_it)


def test_other_accelerators_go_with_the_newest_torch():
    check_silent("torch.accelerator.random.manual_seed(0)", CODE, target="xpu")


@pytest.mark.parametrize(
    "text",
    [
        'if hasattr(torch.accelerator, "memory_allocated"):\n    torch.accelerator.memory_allocated()',
        "try:\n    torch.accelerator.memory_allocated()\nexcept AttributeError:\n    pass",
        "from accelerate import Accelerator\naccelerator = Accelerator()\naccelerator.memory_allocated()",
    ],
)
def test_what_a_program_asks_torch_accelerator_for_first_is_left_alone(text):
    check_silent(text, CODE, torch_npu="2.7.1")


def test_it_is_reported_once_where_an_import_brings_it():
    text = "from torch import accelerator\naccelerator.synchronize()\naccelerator.current_stream()"
    check_reported(text, CODE, "error", 1, torch_npu="2.5.1.post1")


def test_the_names_are_those_of_the_installed_torch():
    minor = ".".join(torch.__version__.split(".")[:2])
    assert all(has(f"accelerator.{name}", minor) for name in torch.accelerator.__all__)
    assert has("accelerator.memory", minor) == hasattr(torch.accelerator, "memory")
    assert has("accelerator.random", minor) == hasattr(torch.accelerator, "random")
