"""Random numbers over ranks: FSDP2 made on meta and initialised, a DTensor drawn in place, dropout of one."""

from __future__ import annotations

import warnings

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

warnings.simplefilter("ignore")
dist.init_process_group("hccl")
rank = dist.get_rank()
torch.npu.set_device(rank)
torch.manual_seed(0)

with torch.device("meta"):
    model = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 8))
for layer in model:
    fully_shard(layer)
fully_shard(model)
model.to_empty(device="npu")
for layer in model:
    layer.reset_parameters()
weight = model[0].weight.full_tensor().cpu()
assert weight.std() > 0.01
assert not torch.equal(weight[:16], weight[16:])  # each rank drew numbers of its own
assert model(torch.ones(2, 64, device="npu")).isfinite().all()

mesh = init_device_mesh("npu", (2,))
drawn = distribute_tensor(torch.zeros(2048, 8, device="npu"), mesh, [Shard(0)])
nn.init.normal_(drawn)
whole = drawn.full_tensor().cpu()
assert abs(whole.std() - 1) < 0.05
assert not torch.equal(whole[:1024], whole[1024:])
nn.init.normal_(drawn)
assert not torch.equal(drawn.full_tensor().cpu(), whole)
state = torch.npu.get_rng_state().to("npu")
states = [torch.empty_like(state), torch.empty_like(state)]
dist.all_gather(states, state)
assert torch.equal(*states)  # the ranks go on from one place

kept = torch.nn.functional.dropout(distribute_tensor(torch.ones(512, 8, device="npu"), mesh, [Shard(0)]), 0.5)
kept = kept.full_tensor().cpu()
assert 0.4 < (kept == 0).float().mean() < 0.6
assert not torch.equal(kept[:256], kept[256:])

dist.destroy_process_group()
print(f"rank {rank} done")
