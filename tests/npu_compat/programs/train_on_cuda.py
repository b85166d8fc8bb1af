"""Written for two NVIDIA cards: DDP over nccl, float16 autocast, GradScaler, checkpoint and resume."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def dataset():
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(32, 8, generator=generator), torch.randn(32, 4, generator=generator))


def fit(rank, folder, start, stop):
    torch.manual_seed(0)
    torch.cuda.manual_seed_all(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).cuda(rank)
    model = DistributedDataParallel(model, device_ids=[rank], output_device=rank)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scaler = torch.cuda.amp.GradScaler(init_scale=256.0)
    checkpoint = Path(folder, "checkpoint.pt")
    if start:
        state = torch.load(checkpoint, map_location={"cuda:0": f"cuda:{rank}"})
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
    data = dataset()
    sampler = DistributedSampler(data, num_replicas=2, rank=rank, shuffle=False)
    loader = DataLoader(data, batch_size=4, sampler=sampler, pin_memory=True)
    for step, (features, target) in enumerate(loader):
        if not start <= step < stop:
            continue
        features = features.cuda(rank, non_blocking=True)
        target = target.to(torch.device("cuda", rank), non_blocking=True)
        with torch.autocast(device_type="cuda", dtype=torch.float16):
            result = model(features)
        if result.dtype != torch.float16 or not result.is_cuda:
            raise SystemExit(f"autocast was not at work: {result.dtype} on {result.device}")
        loss = nn.functional.mse_loss(result.float(), target)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    if rank == 0:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
        torch.save(state, checkpoint)
        print("peak", torch.cuda.max_memory_allocated(rank))
    dist.barrier()
    torch.cuda.synchronize()


def train(rank, folder):
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    fit(rank, folder, start=0, stop=2)
    fit(rank, folder, start=2, stop=4)  # from the checkpoint, with everything else made anew
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(train, args=(sys.argv[1],), nprocs=2)
