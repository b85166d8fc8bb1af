"""torch.npu and torch_npu: the names, streams, events, properties."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import importlib.util
import json
import operator

import pytest
import torch

from .conftest import Run


def real_names() -> list[str]:
    table = importlib.resources.files("accelerator_tables").joinpath("sources/torch_npu_api.json").read_text("utf-8")
    names: list[str] = json.loads(table)["torch_npu.npu"]["__all__"]
    return names


def test_every_public_name_of_torch_npu_is_there() -> None:
    assert len(real_names()) == 144
    assert [name for name in real_names() if not hasattr(torch.npu, name)] == []


def names_in_the_table(submodule: str) -> list[str]:
    table = json.loads(importlib.resources.files("accelerator_tables").joinpath("targets/npu.json").read_text("utf-8"))
    return [name for name in table["names"].values() if name.startswith(f"npu.{submodule}.")]


@pytest.mark.parametrize("submodule", ["amp", "amp.common", "graphs", "memory", "random", "streams"])
def test_submodules_are_imported_and_have_what_the_table_names(submodule: str) -> None:
    module = importlib.import_module(f"torch.npu.{submodule}")
    assert operator.attrgetter(submodule)(torch.npu) is module
    assert names_in_the_table(submodule)
    for name in names_in_the_table(submodule):
        operator.attrgetter(name)(torch)


def test_names_of_a_submodule_are_those_of_torch_npu() -> None:
    assert torch.npu.graphs.NPUGraph is torch.npu.NPUGraph
    assert torch.npu.memory.MemPool is torch.npu.MemPool
    assert torch.npu.streams.ExternalStream is torch.npu.ExternalStream
    assert not torch.npu.graphs.is_current_stream_capturing()
    assert not torch.npu.amp.common.amp_definitely_not_available()


def test_what_is_not_emulated_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"torch.npu.graphs.NPUGraph works on Ascend hardware"):
        torch.npu.NPUGraph()
    with pytest.raises(NotImplementedError, match=r"torch.npu.memory.use_mem_pool"), torch.npu.use_mem_pool(None):
        pass


def test_torch_npu_is_a_module_with_a_spec_and_a_version() -> None:
    import torch_npu
    import torch_npu.npu
    import torch_npu.profiler
    from torch_npu.npu.amp import GradScaler

    assert torch_npu.npu is torch.npu
    assert importlib.util.find_spec("torch_npu") is not None
    assert torch_npu.__version__ == importlib.metadata.version("torch-npu") == torch.__version__.split("+")[0]
    assert torch.profiler.ProfilerActivity.PrivateUse1 == torch_npu.profiler.ProfilerActivity.NPU
    assert GradScaler().is_enabled()


def test_other_distributions_are_still_found() -> None:
    assert importlib.metadata.version("torch").partition("+")[0] == torch.__version__.partition("+")[0]
    assert importlib.util.find_spec("torch_npu_other") is None


def test_accelerator_and_device_module() -> None:
    assert torch.accelerator.current_accelerator() == torch.device("npu")
    assert torch.get_device_module("npu") is torch.npu
    assert torch.accelerator.device_count() == torch.npu.device_count() == 2


def test_asking_for_the_device_is_traced(run: Run) -> None:
    # A new process, since it matters that dynamo was imported before the device was there.
    code = """
        import torch, torch._dynamo, npu_emulator
        npu_emulator.enable(devices=2)

        @torch.compile(fullgraph=True, backend="eager")
        def devices(x):
            return x + torch.npu.device_count() if torch.npu.is_available() else x

        print(devices(torch.ones(2, device="npu")).tolist())
    """
    result = run(code, options=None)
    assert result.stdout == "[3.0, 3.0]\n", result.stderr


def test_current_device() -> None:
    with torch.npu.device(1):
        assert torch.npu.current_device() == torch.accelerator.current_device_index() == 1
        assert torch.ones(1, device="npu").device.index == 1
    with torch.npu.device_of(torch.ones(1, device="npu:1")):
        assert torch.npu.current_device() == 1
    torch.npu.set_device("npu:1")
    assert torch.npu.current_device() == 1
    with pytest.raises(ValueError, match="Expected a npu device"):
        torch.npu.set_device("cpu")


def test_properties() -> None:
    properties = torch.npu.get_device_properties(1)
    assert properties.name == torch.npu.get_device_name() == "Ascend910B2"
    assert properties.total_memory == torch.npu.mem_get_info(1)[1] == 8 * 2**30
    assert torch.npu.get_device_capability() is None
    assert torch.npu.is_bf16_supported()


def test_streams_and_events() -> None:
    stream, other = torch.npu.Stream(), torch.npu.Stream(device=1)
    start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    with torch.npu.stream(stream):
        assert torch.npu.current_stream() == stream
        start.record()
        total = torch.ones(300, 300, device="npu") @ torch.ones(300, 300, device="npu")
        end.record()
    assert torch.npu.current_stream() == torch.npu.default_stream() != stream
    assert other.device == torch.device("npu:1")
    assert torch.npu.default_stream().npu_stream == 0 != stream.npu_stream
    stream.wait_stream(other)
    stream.wait_event(end)
    total.record_stream(stream)
    end.synchronize()
    torch.npu.synchronize()
    assert stream.query()
    assert end.query()
    assert 0 < start.elapsed_time(end) < 60_000  # milliseconds
    assert isinstance(start, torch.npu.Event)
    assert isinstance(torch.npu.current_stream(), torch.npu.Stream)


def test_profiler_records_operators() -> None:
    from torch_npu.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.NPU]) as recorded:
        torch.ones(3, device="npu") + 1
    assert "aten::add" in {event.name for event in recorded.events()}


def test_autograd_profiler_times_the_device() -> None:
    with torch.autograd.profiler.profile(use_device="npu") as recorded:
        torch.ones(300, 300, device="npu") @ torch.ones(300, 300, device="npu")
    times = {event.key: event.device_time_total for event in recorded.key_averages()}  # microseconds
    assert "aten::mm" in times
    assert all(0 <= time < 60e6 for time in times.values())


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "SBH"])
def test_fused_attention_agrees_with_torch(layout: str) -> None:
    import torch_npu

    q, k, v = torch.randn(3, 2, 4, 5, 8, device="npu").unbind(0)  # batch, heads, length, width
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.3)

    def to_layout(tensor: torch.Tensor) -> torch.Tensor:
        by_length = tensor if layout == "BNSD" else tensor.transpose(1, 2)
        flat = by_length.flatten(2) if layout in ("BSH", "SBH") else by_length
        return flat.transpose(0, 1) if layout == "SBH" else flat

    out, row_max, row_sum, *_ = torch_npu.npu_fusion_attention(
        to_layout(q), to_layout(k), to_layout(v), 4, layout, scale=0.3
    )
    torch.testing.assert_close(out, to_layout(expected))
    assert row_max.shape == row_sum.shape == (2, 4, 5, 8)
    masked = torch_npu.npu_fusion_attention(
        q, k, v, 4, "BNSD", scale=0.3, atten_mask=torch.ones(5, 5, device="npu").triu(1).bool()
    )[0]
    causal = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.3, is_causal=True)
    torch.testing.assert_close(masked, causal)
    with pytest.raises(NotImplementedError, match="sparse_mode=2"):
        torch_npu.npu_fusion_attention(q, k, v, 4, "BNSD", sparse_mode=2)


def test_fused_norm_and_optimizer() -> None:
    import torch_npu

    x, gamma = torch.randn(3, 8, device="npu"), torch.rand(8, device="npu")
    result, rstd = torch_npu.npu_rms_norm(x, gamma)
    torch.testing.assert_close(result, torch.nn.functional.rms_norm(x, (8,), gamma, eps=1e-6))
    assert rstd.shape == (3, 1)
    layer = torch.nn.Linear(2, 1).npu()
    layer(torch.ones(1, 2, device="npu")).sum().backward()
    torch_npu.optim.NpuFusedAdamW(layer.parameters(), lr=0.1).step()


def test_switches_are_kept() -> None:
    torch.npu.set_compile_mode(jit_compile=True)
    assert not torch.npu.is_jit_compile_false()
    torch.npu.set_sync_debug_mode("warn")
    assert torch.npu.get_sync_debug_mode() == 1
    torch.npu.set_sync_debug_mode(0)
    assert torch.npu.matmul.allow_hf32 is False
    with pytest.raises(TypeError, match="must be a dict"):
        torch.npu.set_option("x")


def test_legacy_constructors() -> None:
    assert torch.npu.LongTensor([1, 2]).dtype == torch.int64
    assert torch.npu.HalfTensor(2, 3).shape == (2, 3)
    assert isinstance(torch.ones(2, device="npu"), torch.npu.FloatTensor)
    assert not isinstance(torch.ones(2), torch.npu.FloatTensor)
