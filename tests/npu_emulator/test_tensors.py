"""Tensors on npu: made, moved, viewed, written, indexed, mixed, printed, copied."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

# Kept: torch 2.7 cannot compile any more once a library of operators is gone.
CUSTOM = torch.library.Library("npu_emulator_test", "DEF")

FACTORIES = {
    "empty": lambda: torch.empty(2, 3, device="npu"),
    "zeros": lambda: torch.zeros(2, 3, device="npu"),
    "full": lambda: torch.full((2, 3), 7, device="npu:1"),
    "arange": lambda: torch.arange(6, device="npu"),
    "linspace": lambda: torch.linspace(0, 1, 5, device="npu"),
    "eye": lambda: torch.eye(3, device="npu"),
    "tensor": lambda: torch.tensor([1, 2], device="npu"),
    "rand": lambda: torch.rand(3, device="npu"),
    "randperm": lambda: torch.randperm(5, device="npu"),
    "kaiser_window": lambda: torch.kaiser_window(4, device="npu"),
    "tril_indices": lambda: torch.tril_indices(3, 3, device="npu"),
    "integer device": lambda: torch.ones(2, device=1),
    "new_zeros": lambda: torch.ones(2, device="npu").new_zeros(3),
    "Tensor.npu": lambda: torch.ones(2).npu(),
    "FloatTensor": lambda: torch.npu.FloatTensor([1.0, 2.0]),
    "empty_strided": lambda: torch.empty_strided((2, 3), (1, 2), device="npu"),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_factories_make_npu_tensors(name: str) -> None:
    made = FACTORIES[name]()
    assert made.is_npu
    assert made.device.index == (1 if name in ("full", "integer device") else 0)


def test_repeats_many_dimensions() -> None:
    """torch copies on twice as many dimensions for it, more than a copy may have; torch_npu has a kernel of its own."""
    host = torch.arange(24.0).reshape(1, 2, 3, 2, 2)
    assert torch.equal(host.npu()[:, :, :1].repeat(2, 1, 2, 1, 3).cpu(), host[:, :, :1].repeat(2, 1, 2, 1, 3))
    assert torch.equal(host.npu().tile(1, 1, 2, 1, 1).cpu(), host.tile(1, 1, 2, 1, 1))


def test_moves_keep_values() -> None:
    host = torch.randn(3, 4)
    there = host.to("npu:1")
    assert torch.equal(there.to("npu:0").cpu(), host)
    assert torch.equal(there.to(torch.float16).cpu(), host.half())
    assert there.t().contiguous().stride() == (3, 1)
    assert torch.equal(host.copy_(there * 2), there.cpu() * 2)


def test_default_device_and_module_move() -> None:
    with torch.device("npu"):
        assert torch.ones(2).is_npu
    layer = torch.nn.Linear(3, 2).npu()
    assert all(parameter.is_npu for parameter in layer.parameters())


def test_views_share_storage() -> None:
    base = torch.zeros(4, 5, device="npu")
    base.view(20)[3:7] = 1
    base.t()[0].add_(2)
    base[:, 1:3].mul_(3)
    expected = torch.zeros(4, 5)
    expected.view(20)[3:7] = 1
    expected.t()[0].add_(2)
    expected[:, 1:3].mul_(3)
    assert torch.equal(base.cpu(), expected)
    assert base.view(20).untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
    assert base.untyped_storage().device == torch.device("npu:0")


def test_views_are_tracked_for_in_place_writes() -> None:
    leaf = torch.ones(3, device="npu", requires_grad=True)
    doubled = leaf * 2
    version = doubled._version
    doubled[0] = 5
    assert doubled._version == version + 1
    doubled.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0, 2, 2]


def test_indexing() -> None:
    host = torch.arange(24.0).view(4, 6)
    there = host.npu()
    rows = torch.tensor([0, 2])
    assert torch.equal(there[rows.npu()].cpu(), host[rows])
    assert torch.equal(there[rows].cpu(), host[rows])  # indices may stay on the host
    assert torch.equal(there[there > 10].cpu(), host[host > 10])
    there[rows.npu(), 1] = -1.0
    host[rows, 1] = -1.0
    assert torch.equal(there.cpu(), host)


def test_out_and_resize() -> None:
    out = torch.empty(0, device="npu")
    torch.add(torch.ones(2, 3, device="npu"), 1, out=out)
    assert out.shape == (2, 3)
    assert out.sum().item() == 12
    storage = out.untyped_storage()
    storage.resize_(0)
    assert storage.nbytes() == 0
    storage.resize_(24)
    assert storage.nbytes() == 24


def test_complex_views_and_conjugates() -> None:
    host = torch.randn(3, 2)
    there = torch.view_as_complex(host.npu())
    assert torch.equal(torch.view_as_real(there.conj().resolve_conj()).cpu(), host * torch.tensor([1.0, -1.0]))
    assert torch.equal(there.conj().clone().cpu(), torch.view_as_complex(host).conj())


def test_windows_are_the_hosts() -> None:
    there = torch.kaiser_window(9, periodic=False, beta=5.0, device="npu")
    assert torch.equal(there.cpu(), torch.kaiser_window(9, periodic=False, beta=5.0))


def two(first: str, second: str) -> tuple[Tensor, Tensor]:
    return torch.ones(3, 3, device=first), torch.ones(3, 3, device=second)


@pytest.mark.parametrize(("first", "second"), [("npu:0", "cpu"), ("cpu", "npu:0"), ("npu:0", "npu:1")])
@pytest.mark.parametrize("op", [torch.add, torch.matmul, torch.mul, lambda a, b: torch.cat([a, b])])
def test_mixing_devices_is_refused(op: object, first: str, second: str) -> None:
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device, but found at least two"):
        op(*two(first, second))  # type: ignore[operator]


def test_weight_on_host_and_input_on_device_is_refused() -> None:
    with pytest.raises(RuntimeError, match="same device"):
        torch.nn.Conv2d(3, 2, 1)(torch.ones(1, 3, 4, 4, device="npu"))


def test_host_scalars_may_mix() -> None:
    assert (torch.ones(2, device="npu") * torch.tensor(3.0)).tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="same device"):
        torch.tensor(3.0).add_(torch.tensor(1.0, device="npu"))


def test_printing() -> None:
    text = str(torch.tensor([1.5, 2.0], device="npu:1"))
    assert text == "tensor([1.5000, 2.0000], device='npu:1')"
    assert str(torch.ones(1, dtype=torch.float64, device="npu")).endswith("device='npu:0', dtype=torch.float64)")


def test_deepcopy_and_pickle() -> None:
    tensor = torch.arange(3.0, device="npu:1")
    layer = torch.nn.Linear(2, 2).npu()
    for again in (copy.deepcopy(tensor), pickle.loads(pickle.dumps(tensor))):
        assert again.device == tensor.device
        assert torch.equal(again.cpu(), tensor.cpu())
    assert copy.deepcopy(layer).weight.is_npu


def test_data_may_move_to_another_device() -> None:
    parameter = torch.nn.Parameter(torch.ones(2, device="npu"))
    parameter.data = parameter.data.cpu()
    assert parameter.device.type == "cpu"
    parameter.data = parameter.data.to("npu:1")
    assert parameter.device == torch.device("npu:1")


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(RuntimeError, match="Invalid NPU device ordinal 5: valid ordinals are 0 to 1"):
        torch.ones(1, device="npu:5")


def test_custom_operators_with_a_host_kernel_run() -> None:
    CUSTOM.define("double(Tensor x) -> Tensor")
    CUSTOM.impl("double", lambda x: x * 2, "CPU")
    assert torch.ops.npu_emulator_test.double(torch.ones(2, device="npu")).tolist() == [2, 2]


def test_what_nobody_wrote_is_filled_where_programs_must_be_deterministic() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        for fresh in (torch.empty(3, device="npu"), torch.empty_strided((3,), (2,), device="npu")):
            assert fresh.isnan().all()
        assert torch.empty(2, dtype=torch.int32, device="npu").tolist() == [2**31 - 1] * 2
        assert torch.ones(1, device="npu").resize_(3)[1:].isnan().all()
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.empty(3, device="npu")
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.use_deterministic_algorithms(False)


def test_dlpack_shares_memory() -> None:
    tensor = torch.ones(3, device="npu:1")
    shared = torch.from_dlpack(tensor)
    assert shared.device == tensor.device
    shared += 1
    torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(tensor)).mul_(2)
    assert tensor.tolist() == [4, 4, 4]
    assert tensor.__dlpack_device__()[1] == 1
    assert torch.from_dlpack(torch.ones(2)).device.type == "cpu"


@pytest.mark.filterwarnings("ignore:.*AI CPU", "ignore:`torch.jit")
def test_float64_is_computed_compared_and_traced() -> None:
    """On hardware the AI CPU takes it."""
    x = torch.arange(4, dtype=torch.float64, device="npu")
    for function in (torch.neg, torch.sin, torch.cos, torch.exp):
        torch.testing.assert_close(function(x).cpu(), function(x.cpu()), rtol=0, atol=0)
    torch.testing.assert_close(x, x.clone())
    # torch 2.15 masks the differences to word its message, and float64 cannot be masked there.
    with pytest.raises((AssertionError, RuntimeError), match=r"not close|unexpected exception"):
        torch.testing.assert_close(x, x + 1)
    layer = torch.nn.Linear(3, 2).npu()
    rows = torch.randn(4, 3, device="npu")
    assert torch.equal(torch.jit.trace(layer, rows)(rows), layer(rows))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float16])
def test_histograms_of_types_that_the_host_has_no_kernel_for(dtype: torch.dtype) -> None:
    # transformers counts the tokens of each expert so.
    experts = torch.tensor([0, 1, 1, 3], dtype=dtype, device="npu")
    counts = torch.histc(experts, bins=4, min=0, max=3)
    assert (counts.dtype, counts.tolist()) == (dtype, [1, 2, 0, 1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_means_of_volumes_in_half_precision(dtype: torch.dtype) -> None:
    volume = torch.arange(8.0).view(1, 1, 2, 2, 2).to("npu", dtype).requires_grad_()
    mean = torch.nn.functional.avg_pool3d(volume, 2)
    mean.sum().backward()
    assert (mean.dtype, mean.item()) == (dtype, 3.5)
    assert volume.grad is not None
    assert (volume.grad.dtype, volume.grad.unique().tolist()) == (dtype, [0.125])


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_random_slopes_in_half_precision(dtype: torch.dtype, inplace: bool) -> None:
    """rrelu writes the slopes that it drew, which its backward multiplies by."""
    leaf = torch.full((64,), -4.0).to("npu", dtype).requires_grad_()
    given = leaf * 1
    drawn = torch.nn.functional.rrelu(given, 0.125, 0.5, training=True, inplace=inplace)
    drawn.sum().backward()
    assert (drawn is given) == inplace
    assert drawn.dtype is dtype
    assert -2.0 <= drawn.min().item() < drawn.max().item() <= -0.5
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad * leaf.detach(), drawn.detach(), rtol=1e-2, atol=0)
