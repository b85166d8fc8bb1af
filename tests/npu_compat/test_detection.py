"""Which accelerator is taken, why not another, and what happens without one."""

from __future__ import annotations

import pickle
import sys

import pytest
import torch

import npu_compat
from npu_compat import activation, detection
from npu_compat.accelerators import TARGETS, load
from tests.process_group import alone_in_a_group


@pytest.fixture
def bare(monkeypatch):
    """A machine on which nothing is found, whatever this one has."""
    monkeypatch.setattr(detection, "is_emulated", lambda: False)
    monkeypatch.setattr(detection, "_why_not_cuda", lambda: "no CUDA")
    there_is(monkeypatch)


def there_is(monkeypatch, *names):
    """None of the accelerators but these."""
    monkeypatch.setattr(detection, "_why_not", lambda asked: "" if asked.name in names else f"no {asked.name}")


def test_the_emulated_npu_wins(npu, monkeypatch):
    monkeypatch.setattr(detection, "_why_not_cuda", lambda: "")
    found = detection.detect({})
    assert (found.kind, found.accelerator.name) == ("accelerator", "npu")


def test_real_cuda_comes_next(bare, monkeypatch):
    monkeypatch.setattr(detection, "_why_not_cuda", lambda: "")
    there_is(monkeypatch, "npu")
    assert detection.detect({}).kind == "cuda"


@pytest.mark.parametrize("name", TARGETS)
def test_each_accelerator(bare, monkeypatch, name):
    there_is(monkeypatch, name)
    found = detection.detect({})
    assert found.accelerator == load(name)
    assert found.rejected["cuda"] == "no CUDA"
    assert name not in found.rejected


def test_none(bare):
    found = detection.detect({})
    assert found.kind == "none"
    assert found.rejected == {"cuda": "no CUDA"} | {name: f"no {name}" for name in TARGETS}
    assert next(iter(TARGETS)) == "npu"


def test_the_cpu_if_asked_for(bare):
    assert detection.detect({"NPU_COMPAT_FALLBACK": "cpu"}).accelerator.name == "cpu"
    with pytest.raises(ValueError, match="NPU_COMPAT_FALLBACK='gpu'"):
        detection.detect({"NPU_COMPAT_FALLBACK": "gpu"})


def test_a_package_that_cannot_be_imported_is_a_reason(tmp_path, monkeypatch):
    tmp_path.joinpath("torch_musa.py").write_text("raise ImportError('libmusa.so is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "libmusa.so is missing" in detection._why_not(load("musa"))


NEEDS_A_DEVICE = {
    "factory": lambda: torch.zeros(1, device="cuda"),
    "method": lambda: torch.ones(1).cuda(),
    "to": lambda: torch.ones(1).to("cuda"),
    "current_device": lambda: torch.cuda.current_device(),
    "set_device": lambda: torch.cuda.set_device(0),
    "stream": lambda: torch.cuda.Stream(),
    "event": lambda: torch.cuda.Event(),
    "current_stream": lambda: torch.cuda.current_stream(),
    "synchronize": lambda: torch.cuda.synchronize(),
    "properties": lambda: torch.cuda.get_device_properties(0),
    "generator": lambda: torch.Generator("cuda"),
    "module": lambda: torch.nn.Linear(1, 1).cuda(),
}


@pytest.mark.parametrize("call", NEEDS_A_DEVICE)
def test_without_one_the_first_call_says_what_is_missing(bare, call):
    with npu_compat.redirected() as report:
        assert not torch.cuda.is_available()
        assert report.kind == "none"
        with pytest.raises(npu_compat.NoAccelerator, match=r"no npu.*NPU_COMPAT_FALLBACK=cpu.*--emulate"):
            NEEDS_A_DEVICE[call]()


@pytest.mark.parametrize(
    ("started", "named"),
    [("my train.py", "--emulate 'my train.py'"), ("", "--emulate SCRIPT"), ("-c", "--emulate SCRIPT")],
)
def test_what_to_run_instead_can_be_pasted(bare, monkeypatch, started, named):
    monkeypatch.setattr(sys, "argv", [started])
    with npu_compat.redirected(), pytest.raises(npu_compat.NoAccelerator) as caught:
        torch.cuda.set_device(0)
    assert str(caught.value).endswith(named)


def test_without_one_what_needs_no_device_goes_on(bare):
    with npu_compat.redirected():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.cuda.manual_seed_all(1)
        torch.cuda.empty_cache()
        assert torch.cuda.device_count() == 0
        assert torch.ones(1, device=device).device.type == "cpu"
        assert pickle.loads(pickle.dumps(torch.device("cuda"))).type == "cuda"


def test_data_parallel_on_the_cpu(bare, monkeypatch):
    monkeypatch.setenv("NPU_COMPAT_FALLBACK", "cpu")
    with npu_compat.redirected(), alone_in_a_group("nccl"):
        trained = torch.nn.parallel.DistributedDataParallel(
            torch.nn.Linear(2, 2).cuda(), device_ids=[0], output_device=torch.device("cuda", 0)
        )
        trained(torch.ones(1, 2, device="cuda")).sum().backward()
    assert trained.module.weight.grad is not None


def test_everything_on_the_cpu(bare, monkeypatch):
    monkeypatch.setenv("NPU_COMPAT_FALLBACK", "cpu")
    with npu_compat.redirected() as report:
        assert report.accelerator == "cpu"
        assert torch.cuda.is_available()
        assert torch.accelerator.current_accelerator(check_available=True) is None
        assert not torch.accelerator.is_available()
        assert torch.zeros(1, device="cuda:0").device.type == torch.ones(1).cuda().device.type == "cpu"
        assert torch.ones(1).to(0).device.type == "cpu"
        assert torch.zeros(1, device=0).device.type == "cpu"
        torch.cuda.set_device("cuda:0")
        with torch.cuda.device(0), torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda.synchronize()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        end.record()
        assert start.elapsed_time(end) >= 0
        torch.cuda.manual_seed_all(7)
        first = torch.randn(2, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
        assert first.device.type == "cpu"
        free, total = torch.cuda.mem_get_info()
        assert 0 < free <= total == torch.cuda.get_device_properties(0).total_memory
        with torch.autocast("cuda", torch.bfloat16):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        with pytest.raises(npu_compat.UnsupportedOnAccelerator):
            torch.cuda.list_gpu_processes()
        module = torch.nn.Linear(2, 2).cuda()
        scaler = torch.amp.GradScaler("cuda")
        scaler.scale(module(torch.ones(1, 2).pin_memory()).sum()).backward()
        assert activation.report().kind == "cpu"
