"""Types, pickles, TorchScript, FX and torch.compile go on working, and the caller's objects stay as they are."""

from __future__ import annotations

import copy
import functools
import io
import pickle
import typing

import pytest
import torch


def test_isinstance_issubclass_and_unions(redirect):
    device = torch.device("cuda:1")
    assert device == torch.device("npu:1")
    assert isinstance(device, torch.device)
    assert not isinstance("cuda", torch.device)
    assert issubclass(type(device), torch.device)
    assert type(device) == torch.device  # noqa: E721
    assert type(device) in {torch.device}
    assert isinstance(device, torch.device | None)
    assert typing.Optional[torch.device] is not None  # noqa: UP045


def test_singledispatch_on_torch_device(redirect):
    @functools.singledispatch
    def kind(value):
        return "other"

    @kind.register
    def _(value: torch.device):
        return "device"

    assert kind(torch.device("cuda")) == "device"
    assert kind("cuda") == "other"


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("cuda", 1), {}),
        ((), {"type": "cuda", "index": 1}),
        (("cuda:1",), {}),
        ((), {"device": "cuda:1"}),
        ((1,), {}),
    ],
)
def test_every_way_to_make_a_device(redirect, arguments, keywords):
    assert torch.device(*arguments, **keywords) == torch.device("npu", 1)


def test_other_devices_are_made_as_before(redirect):
    assert str(torch.device("cpu")) == "cpu"
    assert torch.device("meta").type == "meta"
    with pytest.raises(RuntimeError, match="Invalid device string"):
        torch.device("no such device")


def test_pickle_and_deepcopy(redirect):
    device = torch.device("cuda:1")
    assert b"ctorch\ndevice" in pickle.dumps(device, 0)
    assert pickle.loads(pickle.dumps(device)) == device
    assert copy.deepcopy(device) == device
    assert pickle.loads(pickle.dumps(torch.device)) is torch.device
    assert pickle.loads(pickle.dumps(torch.zeros)) is torch.zeros


@pytest.mark.parametrize("weights_only", [True, False])
def test_devices_in_checkpoints(redirect, weights_only):
    file = io.BytesIO()
    torch.save({"device": torch.device("cuda"), "weight": torch.ones(2, device="cuda")}, file)
    file.seek(0)
    found = torch.load(file, weights_only=weights_only)
    assert found["device"].type == found["weight"].device.type == "npu"


def test_torchscript(redirect):
    def make(value: torch.Tensor, device: torch.device):
        return torch.zeros(2, device=device) + torch.ones_like(value) + value.to(torch.device("cpu"))

    script = torch.jit.script(make)
    assert isinstance(script, torch.jit.ScriptFunction)
    assert script(torch.ones(2), torch.device("cpu")).tolist() == [2, 2]
    traced = torch.jit.trace(
        lambda value: value + torch.ones(2, device="cuda"), torch.ones(2).cuda(), check_trace=False
    )
    assert traced(torch.ones(2).cuda()).device.type == "npu"


def test_fx(redirect):
    def add(value):
        return torch.zeros_like(value, device="cuda") + value.to(torch.device("cuda:0"))

    graph = torch.fx.symbolic_trace(add)
    assert "torch.zeros_like" in graph.code
    assert pickle.loads(pickle.dumps(graph))(torch.ones(2)).device.type == "npu"


def computed(value):
    device = torch.device("cuda")
    total = torch.zeros(2, device="cuda") + torch.ones(2, device=device) + value.to("cuda") + value.cuda()
    if isinstance(device, torch.device) and torch.cuda.is_available():
        total = total + value.to(device=device, dtype=torch.float32) + total.new_ones(2, device="cuda:0")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        product = torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)
    return total, product


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_in_one_graph(redirect, backend):
    torch._dynamo.reset()
    total, product = torch.compile(computed, fullgraph=True, backend=backend)(torch.ones(2))
    assert total.device.type == "npu"
    assert total.tolist() == [5, 5]
    assert product.dtype == torch.bfloat16


def test_compile_imported_before_and_after(emulated, run_python):
    program = """
import sys, torch
if sys.argv[1] == "before":
    import torch._dynamo
    torch.compile(lambda x: x + torch.cuda.is_available(), backend="eager")(torch.ones(1))
import npu_compat
assert bool(torch.compile(lambda x: x + torch.cuda.is_available(), fullgraph=True, backend="eager")(torch.ones(1)) == 2)
f = torch.compile(lambda x: x + torch.zeros(2, device=torch.device("cuda")), fullgraph=True, backend="aot_eager")
assert f(torch.ones(2, device="cuda")).device.type == "npu"
"""
    for order in ("before", "after"):
        done = run_python("-c", program, order, env=emulated)
        assert done.returncode == 0, done.stderr


def test_custom_operators(redirect):
    def scale(value: torch.Tensor, device: torch.device, other: torch.device | None = None) -> torch.Tensor: ...

    scale.__annotations__ = {
        "value": torch.Tensor,
        "device": torch.device,
        "other": typing.Optional[torch.device],  # noqa: UP045
        "return": torch.Tensor,
    }
    schema = torch.library.infer_schema(scale, mutates_args=())
    assert schema == "(Tensor value, Device device, Device? other=None) -> Tensor"


def test_device_contexts_and_defaults(redirect):
    with torch.device("cuda"):
        assert torch.zeros(1).device.type == "npu"
        assert torch.zeros(1, device="cpu").device.type == "cpu"
    torch.set_default_device("cuda:1")
    assert torch.tensor([1.0]).device.index == 1
    assert torch.get_default_device() == torch.device("npu:1")


def test_tensor_subclasses_modes_and_fakes(redirect):
    from torch._subclasses import FakeTensorMode
    from torch.overrides import TorchFunctionMode

    class Marked(torch.Tensor):
        pass

    class Counting(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            Counting.calls += 1
            return func(*args, **(kwargs or {}))

    assert type(torch.ones(2).as_subclass(Marked).to("cuda")) is Marked
    with Counting():
        assert torch.ones(2, device="cuda").to("cuda:1").device.index == 1
    assert Counting.calls >= 2
    with FakeTensorMode():
        assert torch.ones(2, device="cuda").to("cuda:1").device.index == 1
    assert torch.func.vmap(lambda row: row.to("cuda"))(torch.ones(2, 2)).device.type == "npu"


def test_a_path_that_contains_cuda_is_a_path(redirect, tmp_path):
    file = tmp_path / "cuda_cuda:0.pt"
    torch.save(torch.ones(2), str(file))
    assert torch.load(str(file), map_location="cpu").tolist() == [1, 1]


def test_the_callers_objects_stay(redirect, tmp_path):
    file = tmp_path / "weights.pt"
    torch.save(torch.ones(2), file)
    locations = {"cuda:0": "cuda:1", "cpu": "cuda:1"}
    assert torch.load(file, map_location=locations).device.index == 1
    assert locations == {"cuda:0": "cuda:1", "cpu": "cuda:1"}
    devices = ["cuda:0"]
    with torch.random.fork_rng(devices=devices):
        pass
    assert devices == ["cuda:0"]
    wanted = {"cuda_version": "11.8 cuda"}
    assert torch.utils._pytree.tree_map(lambda value: value, wanted) == {"cuda_version": "11.8 cuda"}


def test_the_type_of_a_device_is_told_honestly(redirect):
    assert torch.ones(1, device="cuda").device.type == "npu"


def test_compile_after_the_redirect_is_over(emulated, run_python):
    program = """
import torch, npu_compat
def made(x):
    return x + torch.zeros(2) + torch.cuda.is_available()
torch.compile(made, fullgraph=True, backend="eager")(torch.ones(2, device="cpu"))
npu_compat.deactivate()
torch._dynamo.reset()
assert torch.compile(made, fullgraph=True, backend="eager")(torch.ones(2)).tolist() == [1, 1]
with npu_compat.redirected():
    torch._dynamo.reset()
    assert torch.compile(made, fullgraph=True, backend="eager")(torch.ones(2)).tolist() == [2, 2]
"""
    done = run_python("-c", program, env=emulated)
    assert done.returncode == 0, done.stderr
