"""A classifier, trained by DeepSpeed's engine: the settings come from a file, the launcher gives the local rank."""

import argparse

import deepspeed
import torch
from torch import nn
from torch.utils.data import TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--local_rank", type=int, default=-1)
parser.add_argument("--epochs", type=int, default=2)
parser = deepspeed.add_config_arguments(parser)
args = parser.parse_args()

torch.manual_seed(0)
deepspeed.init_distributed()
torch.cuda.set_device(args.local_rank)
features = torch.randn(32, 16)
data = TensorDataset(features, features[:, :4].argmax(1))
model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))
engine, _, loader, _ = deepspeed.initialize(
    args=args, model=model, model_parameters=model.parameters(), training_data=data
)
for epoch in range(args.epochs):
    for inputs, labels in loader:
        inputs = inputs.to(engine.device, dtype=torch.bfloat16)
        loss = nn.functional.cross_entropy(engine(inputs).float(), labels.to(f"cuda:{args.local_rank}"))
        engine.backward(loss)
        engine.step()
    if engine.local_rank == 0:
        print(f"epoch {epoch}: loss {loss.item():.6f}")
engine.save_checkpoint("checkpoints", tag="last")
