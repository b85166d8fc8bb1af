"""torch.npu and torch_npu: the names, streams, events, properties."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import importlib.util
import json
import operator
import threading
import time
from pathlib import Path

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


def test_every_field_of_the_properties() -> None:
    properties = torch.npu.get_device_properties()
    unset = ["major", "minor", "is_multi_gpu_board", "is_integrated", "multi_processor_count", "gcnArchName"]
    unset += ["max_threads_per_multi_processor", "warp_size", "regs_per_multiprocessor"]
    assert [getattr(properties, name) for name in unset] == [None] * len(unset)  # as torch_npu leaves them
    assert (properties.cube_core_num, properties.vector_core_num, properties.L2_cache_size) == (24, 48, 192 * 2**20)
    assert len(properties.uuid.bytes) == 16
    assert str(properties.uuid) != str(torch.npu.get_device_properties(1).uuid)
    assert f"{properties}".startswith("_NPUDeviceProperties(name='Ascend910B2', total_memory=8192MB, cube_core_num=24")
    assert torch.npu.get_soc_version() == torch.npu.utils.get_soc_version() == 221
    with pytest.raises(AssertionError, match="Invalid device id: 9"):
        torch.npu.get_device_properties(9)


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


def test_other_streams_and_events() -> None:
    stream = torch.npu.Stream()
    assert torch.npu.ExternalStream(stream.npu_stream) == stream
    assert isinstance(torch.npu.SyncLaunchStream(), torch.npu.Stream)
    event = torch.npu.ExternalEvent()
    event.wait(stream)
    event.record(stream)
    event.reset()
    timed, plain = torch.npu.Event(enable_timing=True), torch.npu.Event()
    assert isinstance(torch.Event("npu"), torch.npu.Event)
    assert isinstance(torch.npu.current_stream().record_event(), torch.npu.Event)
    with pytest.raises(ValueError, match="must be recorded"):
        timed.elapsed_time(timed)
    timed.record()
    assert timed.recorded_time() > 0
    with pytest.raises(ValueError, match="enable_timing=True"):
        timed.elapsed_time(plain)
    with pytest.raises(NotImplementedError, match="not shared between processes"):
        plain.ipc_handle()


def test_profiler_writes_what_its_schedule_says(tmp_path: Path) -> None:
    from torch_npu import profiler

    with profiler.profile(
        activities=[profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.NPU],
        schedule=profiler.schedule(wait=1, warmup=1, active=2, repeat=1, skip_first=1),
        on_trace_ready=profiler.tensorboard_trace_handler(
            str(tmp_path), worker_name="w", analyse_flag=True, async_mode=False
        ),
        experimental_config=profiler._ExperimentalConfig(profiler_level=profiler.ProfilerLevel.Level1),
    ) as recorded:
        for _ in range(6):
            torch.ones(3, device="npu") + 1
            recorded.step()
    (trace,) = tmp_path.glob("w_*_ascend_pt/ASCEND_PROFILER_OUTPUT/trace_view.json")
    events = [event.get("name", "") for event in json.loads(trace.read_text())["traceEvents"]]
    assert events.count("aten::add") == 2
    assert profiler.supported_export_type() == {"db", "text"}
    with pytest.warns(UserWarning, match="profiler_level='Level9' is not taken"):
        assert profiler._ExperimentalConfig(profiler_level="Level9").export_type == ["text"]


def test_profiling_that_a_file_turns_on(tmp_path: Path) -> None:
    from torch_npu.profiler import dynamic_profile

    dynamic_profile.init(str(tmp_path))
    config = tmp_path / "profiler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prof_dir": str(tmp_path), "active": 2}))
    for _ in range(5):
        torch.ones(3, device="npu") + 1
        dynamic_profile.step()
    (trace,) = tmp_path.glob("*_ascend_pt/ASCEND_PROFILER_OUTPUT/trace_view.json")
    assert trace.read_text().count('"aten::add"') == 2


def test_older_profilers(tmp_path: Path) -> None:
    import torch_npu

    with torch_npu.npu.profile(str(tmp_path)), torch_npu.npu.mstx.mstx_range("a range"):
        torch.ones(3, device="npu") + 1
    (trace,) = tmp_path.glob("npu_profile_*.json")
    assert "a range" in trace.read_text()
    x = torch.ones(64, 64, device="npu")
    with torch.autograd.profiler.profile(use_device="npu") as recorded:
        x @ x
    (product,) = [event for event in recorded.key_averages() if event.key == "aten::mm"]
    assert 0 <= product.device_time_total < 60e6  # microseconds; 0 before torch 2.8
    assert 0 < product.cpu_time_total < 60e6


def test_switches_are_kept() -> None:
    torch.npu.set_compile_mode(jit_compile=True)
    assert not torch.npu.is_jit_compile_false()
    torch.npu.set_sync_debug_mode("warn")
    assert torch.npu.get_sync_debug_mode() == 1
    torch.npu.set_sync_debug_mode(0)
    assert torch.npu.matmul.allow_hf32 is False
    with pytest.raises(TypeError, match="must be a dict"):
        torch.npu.set_option("x")


def test_limits_of_cores_are_kept() -> None:
    stream = torch.npu.Stream()
    torch.npu.set_stream_limit(stream, cube_num=12)
    assert torch.npu.get_stream_limit(stream) == {"cube_core_num": 12, "vector_core_num": 48}
    torch.npu.reset_stream_limit(stream)
    assert torch.npu.get_stream_limit(stream) == torch.npu.get_device_limit(0)
    with pytest.raises(AssertionError, match=r"should be torch_npu.npu.Stream"):
        torch.npu.get_stream_limit(None)
    with pytest.raises(TypeError, match="device must be an int"):
        torch.npu.get_device_limit("npu:0")


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match=r"value of ACL_PRECISION_MODE should be in .* but got fast"):
        torch.npu.set_option({"ACL_PRECISION_MODE": "fast"})
    with pytest.raises(TypeError, match="allow_hf32 must be a bool"):
        torch.npu.matmul.allow_hf32 = 1
    assert torch.npu.matmul.cube_math_type is None
    torch.npu.conv.allow_hf32 = True
    assert torch.npu.conv.allow_hf32
    with pytest.raises(RuntimeError, match="mode must be 0, 1, or 2"):
        torch.npu.set_task_queue_enable(3)
    with pytest.raises(RuntimeError, match="expected one of"):
        torch.npu.set_sync_debug_mode("loud")


def test_overflow() -> None:
    assert torch.npu.utils.npu_check_overflow(torch.tensor([1.0, float("inf")], device="npu"))
    assert not torch.npu.utils.npu_check_overflow(3.0)
    with pytest.raises(RuntimeError, match="please use npu_check_overflow"):
        torch.npu.get_npu_overflow_flag()
    assert torch.npu.stress_detect() == 0
    with pytest.warns(UserWarning, match="should be initialized"):
        assert torch.npu.stress_detect("hccs") == 1


def test_grad_scaler_keeps_a_scale_that_is_not_dynamic() -> None:
    layer = torch.nn.Linear(2, 1).npu()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    scaler = torch.npu.amp.GradScaler(init_scale=8.0, growth_interval=1, dynamic=False)
    for _ in range(2):
        scaler.scale(layer(torch.ones(1, 2, device="npu")).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 8.0
    assert scaler.state_dict()["dynamic"] is False


def test_helpers(tmp_path: Path) -> None:
    import torch_npu
    from torch_npu.utils import FlopsCounter, collect_env, npu_combine_tensors, save_async

    x = torch.ones(4, 4, device="npu")
    counter = FlopsCounter()
    counter.start()
    x @ x
    counter.pause()
    x @ x
    assert counter.get_flops() == [128, 256]
    counter.stop()
    parts = [torch.ones(2, device="npu"), torch.full((3,), 2.0, device="npu")]
    combined = npu_combine_tensors(parts)
    assert torch_npu.utils.is_combined_tensor_valid(combined, parts)
    combined.mul_(2)
    assert [part.tolist() for part in parts] == [[2, 2], [4, 4, 4]]
    save_async({"x": x}, tmp_path / "x.pt")
    x.zero_()
    deadline = time.monotonic() + 30
    while any(thread.name.startswith("save_async") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert torch.load(tmp_path / "x.pt")["x"].sum() == 16
    product = parts[1].outer(parts[1])
    assert not torch_npu.matmul_checksum(parts[1][:, None], parts[1][None], product)
    assert torch_npu.matmul_checksum(parts[1][:, None], parts[1][None], product + 1)
    assert "emulated: 2 x Ascend910B2" in collect_env.get_pretty_env_info()


def test_legacy_constructors() -> None:
    assert torch.npu.LongTensor([1, 2]).dtype == torch.int64
    assert torch.npu.HalfTensor(2, 3).shape == (2, 3)
    assert isinstance(torch.ones(2, device="npu"), torch.npu.FloatTensor)
    assert not isinstance(torch.ones(2), torch.npu.FloatTensor)
