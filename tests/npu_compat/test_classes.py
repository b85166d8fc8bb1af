"""The 23 classes of torch whose constructor names a device: positional, keyword, string, torch.device and number."""

from __future__ import annotations

import io

import pytest
import torch
import torch.distributed as dist

import npu_compat
from npu_compat.surface import read_surface
from tests.process_group import alone_in_a_group

DEVICES = {
    "cuda:1": lambda: "cuda:1",
    "device": lambda: torch.device("cuda", 1),
    "made before": lambda: type(torch.device("cpu"))("cuda:1"),
}
TRIED = {
    "torch.accelerator.device_index",
    "torch.amp.autocast_mode.autocast",
    "torch.amp.grad_scaler.GradScaler",
    "torch.autograd.graph.save_on_cpu",
    "torch.autograd.profiler.profile",
    "torch.autograd.profiler_legacy.profile",
    "torch.autograd.profiler_util.FunctionEvent",
    "torch.backends.cuda.cuFFTPlanCache",
    "torch.cuda.device",
    "torch.distributed.device_mesh.DeviceMesh",
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel",
    "torch.distributed.fsdp.sharded_grad_scaler.ShardedGradScaler",
    "torch.distributed.pipelining.stage.PipelineStage",
    "torch.distributed.rpc.options.TensorPipeRpcBackendOptions",
    "torch.futures.Future",
    "torch.mtia.device",
    "torch.nn.parallel.data_parallel.DataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
    "torch.optim.swa_utils.AveragedModel",
    "torch.profiler.profiler.profile",
    "torch.storage.TypedStorage",
    "torch.utils.data.dataloader.DataLoader",
    "torch.xpu.device",
}


@pytest.fixture(params=DEVICES)
def device(request, redirect):
    return DEVICES[request.param]()


@pytest.fixture(scope="module")
def group(npu):
    """A process group of one, asked for as nccl."""
    import npu_compat

    with npu_compat.redirected(), alone_in_a_group("nccl"):
        yield dist.group.WORLD


def test_every_class_is_tried():
    assert set(read_surface()["classes"]) == TRIED
    assert len(TRIED) == 23


@pytest.mark.parametrize("make", [torch.autocast, torch.amp.autocast])
def test_autocast(redirect, make):
    matrix = torch.ones(4, 4, device="cuda")
    for context in (make("cuda", torch.bfloat16), make(device_type="cuda", dtype=torch.bfloat16)):
        with context:
            assert (matrix @ matrix).dtype == torch.bfloat16
            assert torch.is_autocast_enabled("cuda")
    assert (matrix @ matrix).dtype == torch.float32
    with make("cpu", torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_grad_scaler(redirect):
    from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

    for scaler in (torch.amp.GradScaler(), torch.amp.GradScaler("cuda"), torch.GradScaler(device="cuda")):
        assert scaler.is_enabled()
        assert scaler.scale(torch.ones(1, device="cuda")).device.type == "npu"
    assert isinstance(scaler, torch.amp.GradScaler)
    assert ShardedGradScaler()._device == "npu" == ShardedGradScaler(device="cuda")._device


@pytest.mark.parametrize("arguments", [{}, {"pin_memory": True}, {"pin_memory": True, "device_type": "cuda"}])
def test_save_on_cpu(redirect, arguments):
    value = torch.ones(2, device="cuda", requires_grad=True)
    with torch.autograd.graph.save_on_cpu(**arguments):
        (value**2).sum().backward()
    assert value.grad.device.type == "npu"


def test_profilers(redirect):
    from torch.profiler import ProfilerActivity, profile

    for activities in ([ProfilerActivity.CPU, ProfilerActivity.CUDA], {ProfilerActivity.CUDA, ProfilerActivity.CPU}):
        asked = set(activities)
        with profile(activities=activities) as found:
            torch.ones(2, device="cuda") + 1
        assert isinstance(found, profile)
        assert found.activities == {ProfilerActivity.CPU, ProfilerActivity.NPU}
        assert set(activities) == asked
        assert "aten::add" in found.key_averages().table(sort_by="cuda_time_total")
    with torch.autograd.profiler.profile(use_device="cuda", use_kineto=False) as old:
        torch.ones(2) + 1
    assert old.use_device in ("npu", None)


def test_device_contexts(device):
    with torch.cuda.device(device):
        assert torch.zeros(1, device="cuda").device.index == 1
        assert torch.cuda.current_device() == 1
    if hasattr(torch.accelerator, "device_index"):  # from torch 2.8 on
        with torch.cuda.device(1), torch.accelerator.device_index(0):
            assert torch.cuda.current_device() == 0
    assert torch.xpu.device(0).idx == torch.mtia.device(0).idx == 0  # other devices' contexts take numbers


def test_classes_without_anything_to_translate(redirect):
    from torch.autograd import profiler_legacy, profiler_util
    from torch.backends.cuda import cuFFTPlanCache

    assert cuFFTPlanCache(0).device_index == 0
    assert profiler_legacy.profile(use_cuda=False).use_cuda is False
    event = profiler_util.FunctionEvent(1, "add", 0, 0, 1, device_type=torch.autograd.DeviceType.CPU, device_index=0)
    assert event.device_type == torch.autograd.DeviceType.CPU


def test_device_mesh(redirect, group):
    from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

    for mesh in (
        DeviceMesh("cuda", [0]),
        DeviceMesh(device_type="cuda", mesh=torch.tensor([0])),
        init_device_mesh("cuda", (1,)),
        dist.init_device_mesh(device_type="cuda", mesh_shape=(1,)),
    ):
        assert mesh.device_type == "npu"
        assert isinstance(mesh, DeviceMesh)


def test_device_mesh_of_modules_that_were_imported_before(group):
    import torch.distributed.tensor as already_there

    before = already_there.init_device_mesh
    with npu_compat.redirected():
        assert already_there.init_device_mesh("cuda", (1,)).device_type == "npu"
    assert already_there.init_device_mesh is before


@pytest.mark.parametrize("given", [{"device_id": 0}, {"device_id": "device"}, {}])
@pytest.mark.filterwarnings("ignore")
def test_fsdp(redirect, group, given):
    from torch.distributed.fsdp import FullyShardedDataParallel

    if given.get("device_id") == "device":
        given = {"device_id": torch.device("cuda", 0)}
    model = FullyShardedDataParallel(torch.nn.Linear(2, 2).cuda(), **given)
    model(torch.ones(1, 2, device="cuda")).sum().backward()
    assert model.compute_device.type == "npu"


@pytest.mark.parametrize("given", [[0], ["cuda:0"], [torch.device("cpu")]])
def test_ddp(redirect, group, given):
    from torch.nn.parallel import DistributedDataParallel

    if given == [torch.device("cpu")]:
        given = [torch.device("cuda", 0)]
    kept = list(given)
    model = DistributedDataParallel(torch.nn.Linear(2, 2).cuda(), device_ids=given, output_device=given[0])
    assert given == kept
    model(torch.ones(1, 2)).sum().backward()
    assert next(model.parameters()).grad.device.type == "npu"


def test_data_parallel(redirect):
    torch.manual_seed(0)
    module, batch = torch.nn.Linear(3, 2), torch.randn(5, 3)
    expected = module(batch)
    expected.sum().backward()
    gradient = module.weight.grad.clone()
    for given in (None, [0, 1], ["cuda:0", "cuda:1"], [torch.device("cuda:0"), torch.device("cuda:1")]):
        parallel = torch.nn.DataParallel(module.cuda(), device_ids=given)
        parallel.zero_grad()
        result = parallel(batch.cuda())
        result.sum().backward()
        assert result.device == torch.device("npu:0")
        torch.testing.assert_close(result.cpu(), expected)
        torch.testing.assert_close(module.weight.grad.cpu(), gradient)
    collected = torch.nn.DataParallel(module, [0, 1], output_device="cuda:1")(batch.cuda())
    assert collected.device.index == 1


def test_pipeline_stage(device, group):
    from torch.distributed.pipelining.stage import PipelineStage

    stage = PipelineStage(torch.nn.Linear(2, 2).to(device), 0, 1, device)
    assert stage.device == torch.device("npu:1")
    assert PipelineStage(torch.nn.Linear(2, 2), 0, 1, device=device).device == torch.device("npu:1")


def test_rpc_options_and_futures(device):
    from torch.distributed.rpc import TensorPipeRpcBackendOptions

    maps = {"other": {device: "cuda:0"}}
    options = TensorPipeRpcBackendOptions(device_maps=maps)
    assert options.device_maps == {"other": {torch.device("npu:1"): torch.device("npu:0")}}
    assert maps == {"other": {device: "cuda:0"}}
    with pytest.raises(ValueError, match="device type npu"):  # torch's TensorPipe sends from CUDA memory alone
        TensorPipeRpcBackendOptions(devices=[device])
    future = torch.futures.Future(devices=[device])
    future.set_result(torch.ones(1, device=device))
    assert future.wait().device.index == 1


def test_averaged_model(device):
    model = torch.nn.Linear(2, 2)
    for averaged in (
        torch.optim.swa_utils.AveragedModel(model, device),
        torch.optim.swa_utils.AveragedModel(model, device=device),
    ):
        assert averaged.module.weight.device.index == 1


@pytest.mark.filterwarnings("ignore")
def test_typed_storage(device):
    assert torch.TypedStorage(2, dtype=torch.float32, device=device).device == torch.device("npu:1")


@pytest.mark.filterwarnings("ignore")
def test_data_loader(redirect):
    from torch.utils.data import DataLoader

    loader = DataLoader([torch.ones(2)] * 4, batch_size=2, pin_memory=True, pin_memory_device="cuda")
    assert all(batch.is_pinned() for batch in loader)
    assert isinstance(loader, DataLoader)


def test_generators(device):
    for generator in (torch.Generator(device), torch.Generator(device=device)):
        assert generator.device == torch.device("npu:1")
        assert isinstance(generator, torch.Generator)
        first = torch.randn(3, generator=generator.manual_seed(3), device=device)
        assert torch.equal(first, torch.randn(3, generator=generator.manual_seed(3), device=device))


def test_streams_and_events(device):
    for stream in (torch.cuda.Stream(device), torch.cuda.Stream(device=device), torch.Stream(device)):
        assert stream.device.index == 1
        assert isinstance(stream, torch.Stream)
    assert isinstance(torch.cuda.Stream(), torch.cuda.Stream)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with torch.cuda.stream(torch.cuda.Stream()):
        start.record()
        end.record()
    torch.cuda.current_stream(device).wait_event(end)
    torch.cuda.synchronize(device)
    assert start.elapsed_time(end) >= 0
    assert torch.Event(device) is not None


def test_subclasses_of_stand_ins(redirect):
    class Seeded(torch.Generator):
        pass

    assert issubclass(Seeded, torch.Generator)
    assert isinstance(Seeded(), torch.Generator)
    assert not isinstance(io.BytesIO(), torch.Generator)
