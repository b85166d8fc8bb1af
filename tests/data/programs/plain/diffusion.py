"""Trains a small denoising diffusion model, keeps an average of its weights, and samples from it."""

import copy
import math

import torch
from torch import nn
from safetensors.torch import save_file

STEPS, TRAIN_STEPS = 20, 6
torch.manual_seed(0)
device = torch.device("cuda")


class UNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.width = width
        self.down = nn.Conv2d(1, width, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(4, width)
        self.mid = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.out = nn.Conv2d(width + 1, 1, 3, padding=1)

    def forward(self, x, t):
        half = self.width // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=x.device) / half)
        angles = t[:, None].float() * frequencies[None]
        embedding = self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))
        h = self.down(x)
        h = h + self.mid(torch.nn.functional.silu(self.norm(h) + embedding[:, :, None, None]))
        return self.out(torch.cat([self.up(h), x], dim=1))


betas = torch.linspace(1e-4, 0.2, STEPS, device=device)
alphas = (1 - betas).cumprod(dim=0)
model = UNet().to(device)
average = copy.deepcopy(model).requires_grad_(False)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
data = torch.zeros(8, 1, 16, 16)
data[:, :, 4:12, 4:12] = 1.0

for step in range(TRAIN_STEPS):
    x = data.to(device)
    t = torch.randint(0, STEPS, (len(x),)).to(device)
    noise = torch.randn(x.shape).to(device)
    scale = alphas[t][:, None, None, None]
    predicted = model(scale.sqrt() * x + (1 - scale).sqrt() * noise, t)
    loss = torch.nn.functional.mse_loss(predicted, noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for kept, new in zip(average.parameters(), model.parameters()):
        kept.lerp_(new.detach(), 0.1)
    print(f"step {step}: loss={loss.item():.5f}")

save_file({name: value.cpu() for name, value in average.state_dict().items()}, "average.safetensors")

with torch.no_grad():
    x = torch.randn(2, 1, 16, 16).to(device)
    for t in reversed(range(STEPS)):
        predicted = average(x, torch.full((2,), t, device=device))
        x = (x - betas[t] / (1 - alphas[t]).sqrt() * predicted) / (1 - betas[t]).sqrt()
        if t > 0:
            x = x + betas[t].sqrt() * torch.randn(x.shape).to(device)
torch.save(x.cpu(), "samples.pt")
