"""Tensors that are not one block of numbers: sparse and nested ones."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")

INDICES, VALUES = [[0, 1, 1], [0, 2, 2]], [1.0, 2.0, 3.0]


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_dense_tensors_become_sparse(layout: str) -> None:
    host = torch.eye(3) * torch.tensor([1.0, 0.0, 2.0])
    sparse = getattr(host.npu(), layout)()
    assert sparse.device.type == "npu"
    product = sparse @ torch.ones(3, 2, device="npu")
    assert torch.equal(product.cpu(), host @ torch.ones(3, 2))
    assert torch.equal(sparse.to_dense().cpu(), host)


@pytest.mark.parametrize("device", ["npu:0", "npu:1"])
def test_coo_tensors_are_made_on_either_device(device: str) -> None:
    host = torch.sparse_coo_tensor(INDICES, VALUES, (2, 3))
    there = torch.sparse_coo_tensor(INDICES, VALUES, (2, 3), device=device)
    for result in (there, there.coalesce(), there + there, there * 2, torch.zeros_like(there), there.clone()):
        assert result.device == result._values().device == result._indices().device == torch.device(device)
    assert torch.equal(there.coalesce().values().cpu(), host.coalesce().values())
    assert torch.equal((there + there).to_dense().cpu(), (host + host).to_dense())
    assert torch.equal(torch.ones(2, 3, device=device).add(there).cpu(), torch.ones(2, 3).add(host))
    assert torch.equal(there.cpu().to_dense(), host.to_dense())


def test_coo_tensors_share_their_values_and_pass_gradients() -> None:
    values = torch.tensor(VALUES, device="npu", requires_grad=True)
    there = torch.sparse_coo_tensor(torch.tensor(INDICES, device="npu"), values, (2, 3))
    assert there._values().data_ptr() == values.data_ptr()
    (there.to_dense() * 2).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="same device"):
        torch.sparse_coo_tensor(torch.tensor(INDICES), values, (2, 3))


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_empty_sparse_tensors(layout: torch.layout) -> None:
    there = torch.zeros(2, 3, layout=layout, device="npu:1")
    assert there.device == torch.device("npu:1")
    assert there.layout == layout
    assert torch.equal(there.to_dense().cpu(), torch.zeros(2, 3))


@pytest.mark.parametrize("name", ["csr", "csc", "bsr", "bsc"])
def test_compressed_tensors_are_made_there(name: str) -> None:
    make = getattr(torch, f"sparse_{name}_tensor")
    values = [[[1.0]], [[2.0]]] if name.startswith("b") else [1.0, 2.0]
    there = make([0, 1, 2], [1, 0], values, (2, 2), device="npu:1")
    assert there.device == there.values().device == torch.device("npu:1")
    assert torch.equal(there.to_dense().cpu(), make([0, 1, 2], [1, 0], values, (2, 2)).to_dense())


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors(layout: torch.layout) -> None:
    rows = [torch.ones(2, 3), torch.full((1, 3), 2.0)]
    host = torch.nested.nested_tensor(rows, layout=layout)
    there = torch.nested.nested_tensor(rows, layout=layout, device="npu:1")
    weight = torch.ones(4, 3)
    product = torch.nn.functional.linear(there * 2, weight.to("npu:1"))
    assert there.device == product.device == torch.device("npu:1")
    for mine, theirs in zip(product.unbind(), torch.nn.functional.linear(host * 2, weight).unbind(), strict=True):
        assert mine.device == torch.device("npu:1")
        assert torch.equal(mine.cpu(), theirs)


def test_nested_tensors_move_and_share_and_pass_gradients() -> None:
    row = torch.ones(2, 3, device="npu:1", requires_grad=True)
    there = torch.nested.as_nested_tensor([row, row * 2])
    there.to_padded_tensor(0.0).sum().backward()
    assert torch.equal(torch.as_tensor(row.grad).cpu(), torch.full((2, 3), 3.0))
    moved = there.detach().cpu().to("npu:0")
    assert moved.device == moved.unbind()[1].device == torch.device("npu:0")
    moved.unbind()[0].fill_(7)
    assert moved.cpu().to_padded_tensor(0.0)[:, 0, 0].tolist() == [7, 2]
    assert torch.empty_like(moved, device="cpu").device.type == "cpu"
    with pytest.raises(RuntimeError, match="same device"):
        moved + moved.cpu()
