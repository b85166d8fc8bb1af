"""One script, ported to each target: what it becomes, and what stays because the target has nothing like it."""

from __future__ import annotations

import pytest

from porter.port import Plan, port_text
from porter.targets import TARGETS, hardware_lines, translation

SCRIPT = """\
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity

torch.cuda.manual_seed_all(0)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
scaler = torch.cuda.amp.GradScaler()
used = torch.cuda.memory_allocated()
dist.init_process_group("nccl")
model = build().to("cuda:0").cuda(non_blocking=True)
assert model.weight.is_cuda and device.type == "cuda"
activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
"""

LIKE_CUDA = """\
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity

torch.{0}.manual_seed_all(0)
torch.{0}.synchronize()
graph = torch.{0}.{1}Graph()
scaler = torch.{0}.amp.GradScaler()
used = torch.{0}.memory_allocated()
dist.init_process_group("{2}")
model = build().to("{0}:0").{0}(non_blocking=True)
assert model.weight.is_{0} and device.type == "{0}"
activities = [ProfilerActivity.CPU, ProfilerActivity.{1}]
"""

XPU = """\
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity

torch.xpu.manual_seed_all(0)
torch.xpu.synchronize()
graph = torch.xpu.XPUGraph()
scaler = torch.cuda.amp.GradScaler()
used = torch.xpu.memory_allocated()
dist.init_process_group("xccl")
model = build().to("xpu:0").to("xpu", non_blocking=True)
assert model.weight.is_xpu and device.type == "xpu"
activities = [ProfilerActivity.CPU, ProfilerActivity.XPU]
"""

MPS = """\
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity

torch.cuda.manual_seed_all(0)
torch.mps.synchronize()
graph = torch.cuda.CUDAGraph()
scaler = torch.cuda.amp.GradScaler()
used = torch.mps.current_allocated_memory()
dist.init_process_group("nccl")
model = build().to("mps:0").to("mps", non_blocking=True)
assert model.weight.is_mps and device.type == "mps"
activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
"""

PORTED = {
    "npu": LIKE_CUDA.format("npu", "NPU", "hccl"),
    "musa": LIKE_CUDA.format("musa", "MUSA", "mccl"),
    "xpu": XPU,
    "mps": MPS,
    "cuda": SCRIPT,
}


@pytest.mark.parametrize("target", PORTED)
def test_ported(target: str) -> None:
    assert port_text(SCRIPT, Plan(target)).text == PORTED[target]


@pytest.mark.parametrize("target", TARGETS)
def test_a_second_run_changes_nothing(target: str) -> None:
    ported = port_text(SCRIPT, Plan(target)).text
    assert ported != SCRIPT
    assert port_text(ported, Plan(target)).text == ported


@pytest.mark.parametrize("target", TARGETS)
def test_every_line_that_stays_cuda_is_an_error(target: str) -> None:
    result = port_text(SCRIPT, Plan(target))
    lines = {
        number for number, line in enumerate(result.text.splitlines(), 1) if "cuda" in line.lower() or "nccl" in line
    }
    assert lines <= {finding.line for finding in result.findings if finding.severity == "error"}


@pytest.mark.parametrize(("target", "backend"), [("npu", "hccl"), ("musa", "mccl")])
def test_undone(target: str, backend: str) -> None:
    assert backend in PORTED[target]
    assert port_text(PORTED[target], Plan("cuda", source=target)).text == SCRIPT


def test_a_device_without_a_number_for_a_target_with_one_device() -> None:
    text = 'a = "cuda"\nb = f"cuda:{rank}"\nc = "cuda:0"\n'
    assert port_text(text, Plan("mps")).text == text.replace("cuda", "mps")


def test_only_npu_tells_product_lines_apart() -> None:
    assert {target for target in ("npu", "xpu", "mps", "musa") if hardware_lines(target)} == {"npu"}
    assert translation("npu").hardware == "atlas-a2"


def test_of_these_musa_is_unverified() -> None:
    assert [name for name in PORTED if name != "cuda" and not translation(name).new.verified] == ["musa"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_rule_that_was_not_selected_changes_nothing(target: str) -> None:
    only = Plan(target, codes=frozenset({"DP106"}))
    changed = [
        (before, after)
        for before, after in zip(SCRIPT.splitlines(), port_text(SCRIPT, only).text.splitlines(), strict=True)
        if before != after
    ]
    assert all("nccl" in before for before, _ in changed)
    assert bool(changed) == (target != "mps")
