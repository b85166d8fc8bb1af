"""DDP, FSDP1 and FSDP2: three steps over two ranks equal one process; checkpoints come back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

warnings.simplefilter("ignore")
dist.init_process_group("hccl")
rank = dist.get_rank()
torch.npu.set_device(rank)
here = torch.device("npu", rank)
BATCHES = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(1))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def train(model: nn.Module, batches: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for batch in batches:
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()


def sharded(model: nn.Module) -> nn.Module:
    for layer in model:  # type: ignore[attr-defined]
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    fully_shard(model)
    return model


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.full_tensor() for name, tensor in model.state_dict().items()}


WRAPPERS: dict[str, tuple[Callable[[nn.Module], nn.Module], Callable[[nn.Module], dict[str, torch.Tensor]]]] = {
    "DDP": (lambda m: DistributedDataParallel(m, device_ids=[rank]), lambda m: m.module.state_dict()),
    "FSDP1": (lambda m: FullyShardedDataParallel(m, device_id=here), lambda m: m.state_dict()),
    "FSDP1, original parameters": (
        lambda m: FullyShardedDataParallel(m, device_id=here, use_orig_params=True),
        lambda m: m.state_dict(),
    ),
    "FSDP2": (sharded, whole),
}

alone = network()
train(alone, BATCHES)
for name, (wrap, state_of) in WRAPPERS.items():
    model = wrap(network().to(here))
    train(model, BATCHES.chunk(2, dim=1)[rank].to(here))
    for key, tensor in state_of(model).items():
        error = (tensor.cpu() - alone.state_dict()[key]).abs().max().item()
        assert error <= 1e-6, (name, key, error)

folder = os.path.join(os.environ["SCRATCH"], "checkpoint")
model = sharded(network().to(here))
optimizer = torch.optim.AdamW(model.parameters())
model(BATCHES[0].to(here)).sum().backward()
optimizer.step()
saved = whole(model)
model_state, optimizer_state = get_state_dict(model, optimizer)
dcp.save({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=folder)
other = sharded(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to(here))
optimizer = torch.optim.AdamW(other.parameters())
model_state, optimizer_state = get_state_dict(other, optimizer)
dcp.load({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=folder)
set_state_dict(other, optimizer, model_state_dict=model_state, optim_state_dict=optimizer_state)
for key, tensor in whole(other).items():
    assert torch.equal(tensor, saved[key]), key
dist.destroy_process_group()
print(f"rank {rank} done")
