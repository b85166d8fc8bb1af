"""The 19 methods of Tensor that take or tell a device, and what Module and storages build on them."""

from __future__ import annotations

import pytest
import torch

from npu_compat.surface import read_surface

SPELLINGS = {
    "cuda": (lambda: "cuda", 0),
    "cuda:1": (lambda: "cuda:1", 1),
    "device": (lambda: torch.device("cuda", 1), 1),
    "made before": (lambda: type(torch.device("cpu"))("cuda:1"), 1),
    "number": (lambda: 1, 1),
}
KEYWORD = {
    "new": lambda t, device: t.new(2, device=device),
    "new_empty": lambda t, device: t.new_empty(2, device=device),
    "new_empty_strided": lambda t, device: t.new_empty_strided((2,), (1,), device=device),
    "new_full": lambda t, device: t.new_full((2,), 1.0, device=device),
    "new_ones": lambda t, device: t.new_ones(2, device=device),
    "new_tensor": lambda t, device: t.new_tensor([1.0], device=device),
    "new_zeros": lambda t, device: t.new_zeros(2, device=device),
    "to": lambda t, device: t.to(device=device),
    "cuda": lambda t, device: t.cuda(device=device),
}
POSITIONAL = {
    "to": lambda t, device: t.to(device),
    "to with dtype": lambda t, device: t.to(device, torch.float32, True),
    "cuda": lambda t, device: t.cuda(device, True),
}
TRIED_BELOW = {"cpu", "eq", "get_device", "is_cuda", "is_pinned", "ne", "pin_memory", "record_stream", "type", "xpu"}


@pytest.fixture(params=SPELLINGS)
def device(request, redirect):
    make, number = SPELLINGS[request.param]
    return make(), torch.device("npu", number)


def test_every_method_is_tried():
    assert set(KEYWORD) | TRIED_BELOW == set(read_surface()["methods"])
    assert len(read_surface()["methods"]) == 19


@pytest.mark.parametrize("name", KEYWORD)
def test_keyword(device, name):
    given, expected = device
    start = torch.ones(2, device="npu") if name == "new" else torch.ones(2)  # Tensor.new keeps the device type
    assert KEYWORD[name](start, given).device == expected


@pytest.mark.parametrize("name", POSITIONAL)
def test_positional(device, name):
    given, expected = device
    assert POSITIONAL[name](torch.ones(2), given).device == expected


@pytest.mark.filterwarnings("ignore")
def test_pinned_memory_asks_the_accelerator(device):
    given, _ = device
    pinned = torch.ones(2).pin_memory(device=given)
    assert pinned.is_pinned(given)
    assert pinned.is_pinned(device=given)
    assert torch.ones(2).pin_memory(given).is_pinned()


def test_cuda_stays_where_it_is(redirect):
    there = torch.ones(2, device="cuda:1")
    assert there.cuda() is there
    assert there.cuda(0).device.index == 0
    with torch.cuda.device(1):
        assert torch.ones(2).cuda().device.index == 1


def test_to_another_tensor_or_type(redirect):
    there = torch.ones(2, device="cuda:1", dtype=torch.float16)
    assert torch.ones(2).to(there).device == there.device
    assert torch.ones(2).to(tensor=there).dtype == torch.float16
    assert torch.ones(2).to(torch.float16).device.type == "cpu"
    assert torch.ones(2).to(dtype=torch.float16, copy=True).dtype == torch.float16


def test_is_cuda_tells_the_accelerators_tensors(redirect):
    assert torch.ones(1, device="cuda").is_cuda
    assert not torch.ones(1).is_cuda
    assert torch.nn.Parameter(torch.ones(1, device="cuda")).is_cuda


def test_device_numbers(redirect):
    assert torch.ones(1, device="cuda:1").get_device() == 1
    assert torch.ones(1, device="cuda:1").cpu().get_device() == -1


def test_comparison_and_streams_need_no_translation(redirect):
    tensor = torch.ones(2, device="cuda")
    assert bool(tensor.eq(1).all())
    assert not bool(tensor.ne(1).any())
    tensor.record_stream(torch.cuda.current_stream())
    with pytest.raises((RuntimeError, AssertionError, NotImplementedError)):
        tensor.xpu()


@pytest.mark.parametrize("name", ["HalfTensor", "FloatTensor", "LongTensor", "BoolTensor"])
def test_legacy_types(redirect, name):
    dtype = getattr(torch, name.removesuffix("Tensor").lower())
    for kind in (f"torch.cuda.{name}", getattr(torch.cuda, name)):
        moved = torch.ones(2).type(kind)
        assert (moved.device.type, moved.dtype) == ("npu", dtype)
    assert torch.ones(2).type(torch.float64).dtype == torch.float64
    assert torch.ones(2).type() == "torch.FloatTensor"


def test_default_tensor_type(redirect):
    with pytest.warns(UserWarning, match="deprecated"):
        torch.set_default_tensor_type(torch.DoubleTensor)
    torch.set_default_tensor_type("torch.cuda.FloatTensor")
    assert torch.ones(1).device.type == "npu"
    assert torch.ones(1).dtype == torch.float32


@pytest.mark.parametrize(
    "move",
    [
        lambda m: m.cuda(),
        lambda m: m.cuda(1),
        lambda m: m.to("cuda"),
        lambda m: m.to(device="cuda:1"),
        lambda m: m.to(torch.device("cuda")),
        lambda m: m.to(0),
        lambda m: m.to_empty(device="cuda"),
    ],
)
def test_modules(redirect, move):
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    assert {tensor.device.type for tensor in move(module).state_dict().values()} == {"npu"}


def test_storages_and_packed_sequences(redirect):
    assert torch.ones(2).untyped_storage().cuda().device.type == "npu"
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(2)])
    assert packed.cuda().data.device.type == "npu"
    assert packed.to("cuda:1").data.device.index == 1
