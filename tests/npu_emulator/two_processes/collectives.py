"""Every collective on npu tensors; run as two ranks."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

dist.init_process_group("hccl")
rank, world = dist.get_rank(), dist.get_world_size()
torch.npu.set_device(rank)
here = torch.device("npu", rank)
assert dist.get_backend() == "hccl"
assert dist.get_default_backend_for_device("npu") == "hccl"


def ramp(count: int = 4, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """0, 1, 2 ... plus 10 on rank 1."""
    return torch.arange(count, device=here).to(dtype) + 10 * rank


def expect(tensor: torch.Tensor, values: list[float]) -> None:
    assert tensor.device == here, tensor.device
    assert tensor.cpu().float().flatten().tolist() == values, (tensor, values)


def reductions() -> None:
    for op, values in (
        (dist.ReduceOp.SUM, [10, 12]),
        (dist.ReduceOp.AVG, [5, 6]),
        (dist.ReduceOp.MAX, [10, 11]),
        (dist.ReduceOp.PRODUCT, [0, 11]),
    ):
        x = ramp(2)
        dist.all_reduce(x, op)
        expect(x, values)
    for dtype in (torch.bfloat16, torch.float16, torch.int64):
        x = ramp(2, dtype)
        dist.all_reduce(x)
        expect(x, [10, 12])
    work = dist.all_reduce(x := ramp(2), async_op=True)
    assert work.wait()
    expect(x, [10, 12])
    expect(work.get_future().value()[0], [10, 12])
    dist.reduce(x := ramp(2), dst=1)
    if rank == 1:
        expect(x, [10, 12])
    dist.all_reduce_coalesced(pair := [ramp(1), ramp(2)])
    expect(pair[1], [10, 12])


def float8_is_not_reduced() -> None:
    with pytest.raises(ValueError, match="does not reduce"):
        dist.all_reduce(torch.ones(2).to(torch.float8_e4m3fn).to(here))


def gathering() -> None:
    parts = [torch.empty(2, device=here) for _ in range(world)]
    dist.all_gather(parts, ramp(2))
    expect(torch.cat(parts), [0, 1, 10, 11])
    for shape in ((4,), (2, 2), (4, 1)):  # only the number of elements counts
        whole = torch.empty(shape, device=here)
        dist.all_gather_into_tensor(whole, ramp(2))
        expect(whole, [0, 1, 10, 11])
    parts = [torch.empty(2, device=here) for _ in range(world)] if rank == 0 else []
    dist.gather(ramp(2), parts if rank == 0 else None, dst=0)
    if rank == 0:
        expect(torch.cat(parts), [0, 1, 10, 11])
    float8 = torch.empty(4, device=here, dtype=torch.float8_e4m3fn)
    dist.all_gather_into_tensor(float8, torch.ones(2).to(torch.float8_e4m3fn).to(here))
    expect(float8, [1] * 4)
    objects: list[object] = [None] * world
    dist.all_gather_object(objects, {"rank": rank})
    assert objects == [{"rank": 0}, {"rank": 1}]


def spreading() -> None:
    dist.broadcast(x := ramp(2), src=1)
    expect(x, [10, 11])
    dist.scatter(x := torch.empty(2, device=here), list(ramp(4).chunk(2)) if rank == 0 else None, src=0)
    expect(x, [0, 1] if rank == 0 else [2, 3])
    dist.reduce_scatter(x := torch.empty(2, device=here), list(ramp(4).chunk(2)))
    expect(x, [10, 12] if rank == 0 else [14, 16])
    dist.reduce_scatter_tensor(x := torch.empty(2, device=here), ramp(4).view(2, 2), op=dist.ReduceOp.AVG)
    expect(x, [5, 6] if rank == 0 else [7, 8])


def all_to_all() -> None:
    dist.all_to_all_single(x := torch.empty(4, device=here), ramp(4))
    expect(x, [0, 1, 10, 11] if rank == 0 else [2, 3, 12, 13])
    mine, theirs = ([1, 3], [1, 2]) if rank == 0 else ([2, 2], [3, 2])
    dist.all_to_all_single(x := torch.empty(sum(theirs), device=here), ramp(4), theirs, mine)
    expect(x, [0, 10, 11] if rank == 0 else [1, 2, 3, 12, 13])
    parts = [torch.empty(2, device=here) for _ in range(world)]
    dist.all_to_all(parts, list(ramp(4).chunk(2)))
    expect(torch.cat(parts), [0, 1, 10, 11] if rank == 0 else [2, 3, 12, 13])


def point_to_point() -> None:
    other = 1 - rank
    if rank == 0:
        dist.send(ramp(2), 1)
    else:
        dist.recv(x := torch.empty(2, device=here), 0)
        expect(x, [0, 1])
    x = torch.empty(2, device=here)
    for work in dist.batch_isend_irecv([dist.P2POp(dist.isend, ramp(2), other), dist.P2POp(dist.irecv, x, other)]):
        work.wait()
    expect(x, [10, 11] if rank == 0 else [0, 1])


def meshes_and_functional() -> None:
    mesh = init_device_mesh("npu", (2,))
    expect(functional.all_reduce(ramp(2), "sum", mesh), [10, 12])
    expect(functional.all_gather_tensor(ramp(2), 0, mesh), [0, 1, 10, 11])
    sharded = distribute_tensor(torch.arange(4.0, device=here), mesh, [Shard(0)])
    assert sharded.to_local().tolist() == ([0, 1] if rank == 0 else [2, 3])
    expect(sharded.redistribute(mesh, [Replicate()]).to_local(), [0, 1, 2, 3])
    group = dist.new_group([0, 1])
    dist.all_reduce(x := ramp(2), group=group)
    expect(x, [10, 12])
    host = torch.ones(2)
    with pytest.raises(RuntimeError, match="No backend type associated with device type cpu"):
        dist.all_reduce(host)
    both = dist.new_group(backend="cpu:gloo,npu:hccl")
    dist.all_reduce(host, group=both)
    on_npu = torch.ones(2, device="npu")
    dist.all_reduce(on_npu, group=both)
    assert host.tolist() == on_npu.tolist() == [2, 2]


def uneven_parts() -> None:
    from torch_npu import distributed

    sizes = [1, 3]
    gathered = torch.zeros(4, device=here)
    distributed.all_gather_into_tensor_uneven(gathered, ramp(sizes[rank]), sizes)
    expect(gathered, [0, 10, 11, 12])
    part = torch.zeros(sizes[rank], device=here)
    distributed.reduce_scatter_tensor_uneven(part, ramp(4), sizes)
    expect(part, [10] if rank == 0 else [12, 14, 16])
    counts = [[1, 2], [0, 1]]
    received = torch.zeros(1 if rank == 0 else 3, device=here)
    distributed.all_to_all_vc(received, ramp(3 if rank == 0 else 1), counts)
    expect(received, [0] if rank == 0 else [1, 2, 10])
    with pytest.raises(ValueError, match="add up to 4"):
        distributed.all_gather_into_tensor_uneven(gathered, ramp(2), [1, 1])


for check in (
    reductions,
    float8_is_not_reduced,
    gathering,
    spreading,
    all_to_all,
    point_to_point,
    meshes_and_functional,
    uneven_parts,
):
    check()
dist.barrier()
dist.destroy_process_group()
print(f"rank {os.environ['RANK']} done")
