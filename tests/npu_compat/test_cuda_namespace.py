"""torch.cuda, filled in place: the accelerator's functions, errors for what it lacks, and quiet where that is right."""

from __future__ import annotations

import copy
import sys

import pytest
import torch

import npu_compat
from npu_compat.accelerators import load


def test_modules_stay_what_they_are(npu):
    before = {name: module for name, module in sys.modules.items() if name.startswith("torch.cuda")}
    with npu_compat.redirected():
        assert torch.cuda is before["torch.cuda"]
        assert all(sys.modules[name] is module for name, module in before.items())
        assert torch.cuda.memory.memory_allocated is torch.cuda.memory_allocated


def test_functions_without_a_device_are_the_accelerators_own(redirect):
    for name in ("current_device", "device_count", "is_available", "manual_seed_all", "empty_cache", "ipc_collect"):
        assert getattr(torch.cuda, name) is getattr(torch.npu, name)
    assert torch.cuda.Stream is torch.npu.Stream


@pytest.mark.parametrize("device", [None, 1, "cuda:1", "device"])
@pytest.mark.parametrize(
    "name",
    ["memory_allocated", "max_memory_allocated", "memory_reserved", "mem_get_info", "get_device_name", "memory_stats"],
)
def test_devices_are_translated(redirect, name, device):
    given = torch.device("cuda", 1) if device == "device" else device
    kept = torch.ones(1024, device="cuda:1")
    result = getattr(torch.cuda, name)(given)
    assert result == getattr(torch.npu, name)(0 if device is None else 1)
    assert kept.device.index == 1


def test_cudas_keywords_are_taken(redirect):
    """torch_npu has other names for them, which are taken too."""
    assert torch.cuda.get_device_name(device="cuda:1") == torch.npu.get_device_name(1)
    assert torch.cuda.get_device_name(device_name="cuda:1") == torch.npu.get_device_name(1)
    assert torch.cuda.get_device_properties(device=torch.device("cuda", 1)) == torch.npu.get_device_properties(1)
    assert torch.cuda.can_device_access_peer(device=0, peer_device="cuda:1")
    with pytest.raises(TypeError, match="dvice"):
        torch.cuda.get_device_name(dvice=0)


def test_every_public_name_is_redirected_quiet_or_refused(redirect):
    report = npu_compat.report()
    table = load("npu")
    answered = {name.removeprefix("torch.cuda.") for name in (*report.redirected, *report.missing, *report.quiet)}
    values = {"has_half", "has_magma", "amp", "graphs", "memory", "nccl", "nvtx", "profiler", "random", "sparse"}
    values |= {
        "streams",
        "tunable",
        "jiterator",
        "graph_annotations",
        *table.unchanged,
        "CudaError",
        "DeferredCudaCallError",
    }
    assert set(torch.cuda.__all__) - answered - values == set()


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        (lambda: torch.cuda.list_gpu_processes(), "npu-smi info"),
        (lambda: torch.cuda.memory_usage(), "npu-smi info -t usages"),
        (lambda: torch.cuda.cudart(), "torch.npu.npurt"),
        (lambda: torch.cuda.nccl.all_reduce([]), "torch.distributed with the hccl backend"),
        (lambda: torch.cuda.tunable.enable(), "remove it"),
        (lambda: torch.cuda.gds.GdsFile("file", 0), "torch.load(..., mmap=True)"),
        pytest.param(
            lambda: torch.cuda.green_contexts.GreenContext(),
            "set_stream_limit",
            marks=pytest.mark.skipif(not hasattr(torch.cuda, "GreenContext"), reason="from torch 2.10 on"),
        ),
        (lambda: torch.cuda.ComplexFloatStorage(), "untyped_storage"),
    ],
)
def test_what_is_missing_says_so(redirect, call, nearest):
    with pytest.raises(npu_compat.UnsupportedOnAccelerator) as caught:
        call()
    error = caught.value
    assert error.accelerator == "npu"
    assert error.hardware == "atlas-a2"
    assert nearest in error.nearest
    assert error.api in str(error)
    assert isinstance(error, (RuntimeError, NotImplementedError))


def test_a_call_that_the_hardware_line_lacks(redirect, monkeypatch):
    assert torch.cuda.memory_summary("cuda")
    monkeypatch.setenv("NPU_EMULATOR_HARDWARE", "ascend-950dt")
    with pytest.raises(npu_compat.UnsupportedOnAccelerator, match="ascend-950dt"):
        torch.cuda.memory_summary("cuda")


def test_quiet_calls(redirect):
    assert torch.cuda.nvtx.range_push("forward") == 0
    torch.cuda.nvtx.mark("here")
    torch.cuda.nvtx.range_pop()
    with torch.cuda.nvtx.range("block"), torch.cuda.profiler.profile():
        torch.cuda.profiler.start()
        torch.cuda.profiler.stop()

    @torch.cuda.nvtx.range("function")
    def decorated():
        return 1

    assert decorated() == 1
    assert "torch.cuda.nvtx.range_push" in npu_compat.report().quiet


def test_values_that_scripts_ask_for(redirect):
    assert torch.cuda.get_arch_list() == []
    assert torch.cuda.get_gencode_flags() == ""
    assert torch.cuda.get_device_capability() == (0, 0)
    assert torch.cuda.is_bf16_supported()
    assert len(torch.cuda.default_generators) == 2
    assert not torch.cuda.is_current_stream_capturing()


def test_comparing_the_capability_takes_the_way_of_an_older_card(redirect_anywhere):
    """As transformers asks whether there is TF32; torch_npu's own answer is None."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    assert properties.major < 8
    assert not (properties.major, properties.minor) >= (7, 0)
    assert (properties.major, properties.minor) == torch.cuda.get_device_capability()


def test_properties_are_the_accelerators_beside_the_capability(redirect):
    properties, its_own = torch.cuda.get_device_properties("cuda:1"), torch.npu.get_device_properties(1)
    assert its_own.major is None
    assert properties.total_memory == its_own.total_memory
    assert (repr(properties), properties.warp_size) == (repr(its_own), None)
    assert copy.deepcopy(properties) == properties
    assert not hasattr(properties, "no_such_field")


def test_errors_can_still_be_caught(redirect):
    assert issubclass(torch.cuda.OutOfMemoryError, RuntimeError)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        torch.empty(2**40, dtype=torch.uint8, device="cuda")


def test_exceptions_of_scripts_that_probe(redirect):
    """hasattr and isinstance against what is missing go on working."""
    assert hasattr(torch.cuda, "jiterator")
    assert not isinstance(1, torch.cuda.gds.GdsFile)


@pytest.mark.parametrize("name", ["npu", "xpu", "mps"])
def test_the_plan_of_every_accelerator(npu, name):
    """Made, not applied: there is no such device here."""
    from npu_compat.cuda_namespace import CudaNamespace
    from npu_compat.translation import Translation

    namespace = CudaNamespace(Translation(load(name)), torch)
    made = {patch.label: patch.value for patch in namespace.patches()}
    assert made["torch.cuda.synchronize"] is not torch.cuda.synchronize
    assert made["torch.cuda.is_available"] is getattr(torch, name).is_available
    assert "torch.cuda.list_gpu_processes" in namespace.missing
    if name == "mps":  # one device: asking for it by number is no error
        assert made["torch.cuda.current_device"]() == 0
        assert "torch.cuda.set_device" not in namespace.missing
        assert made["torch.cuda.memory_allocated"].__wrapped__ is torch.mps.current_allocated_memory
