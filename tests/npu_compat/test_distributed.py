"""nccl in every form, DeviceMesh, FSDP2 and a distributed checkpoint, over two processes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.process_group import alone_in_a_group

PROGRAM = """
import sys
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

def batch():
    return torch.randn(4, 8, generator=torch.Generator().manual_seed(1))

def wrapped(kind, model, rank):
    if kind == "fsdp2":
        return fully_shard(model, mesh=init_device_mesh("cuda", (2,)))
    if kind == "fsdp1":
        return FullyShardedDataParallel(model, device_id=torch.cuda.current_device(), use_orig_params=True)
    return nn.parallel.DistributedDataParallel(model, device_ids=[rank])

def train(rank, folder):
    torch.cuda.set_device(rank)
    dist.init_process_group("cpu:gloo,cuda:nccl", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    assert dist.is_nccl_available()
    total = torch.ones(1, device="cuda") * (rank + 1)
    dist.all_reduce(total)
    dist.all_reduce(total, group=dist.new_group([0, 1], backend="nccl"))
    assert total.item() == 6
    for kind in ("ddp", "fsdp1", "fsdp2"):
        torch.manual_seed(0)
        model = wrapped(kind, nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).cuda(), rank)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(batch()[rank * 2 : rank * 2 + 2].cuda()).square().mean().backward()
            optimizer.step()
        if kind == "fsdp2":
            dcp.save({"model": model.state_dict()}, checkpoint_id=f"{folder}/checkpoint")
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.zero_()
            state = {"model": model.state_dict()}
            dcp.load(state, checkpoint_id=f"{folder}/checkpoint")
            model.load_state_dict(state["model"])
        with torch.no_grad():
            result = model(batch().cuda()).cpu()
        if rank == 0:
            torch.save(result, f"{folder}/{kind}.pt")
    dist.destroy_process_group()

if __name__ == "__main__":
    mp.spawn(train, args=(sys.argv[1],), nprocs=2)
"""


def test_three_steps_on_two_processes_equal_one(emulated, run_python, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    done = run_python("-m", "npu_compat", "run", file, str(tmp_path), env=emulated, timeout=240)
    assert done.returncode == 0, done.stderr
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
    for kind in ("ddp", "fsdp1", "fsdp2"):
        torch.testing.assert_close(torch.load(tmp_path / f"{kind}.pt"), model(batch).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", ["nccl", "cuda:nccl", "cpu:gloo,cuda:nccl", None])
@pytest.mark.parametrize("given", [{}, {"device_id": "device"}])
def test_process_groups(redirect, backend, given):
    import torch.distributed as dist

    if given:
        given = {"device_id": torch.device("cuda", 0)}
    with alone_in_a_group(backend, **given):
        value = torch.ones(2, device="cuda")
        dist.all_reduce(value)
        assert value.tolist() == [1, 1]
        dist.barrier()
        assert dist.get_default_backend_for_device("cuda") == "hccl"
