"""Trains a DCGAN on shapes and saves what it draws."""

import sys

import numpy as np
import torch
import torch.nn as nn
from PIL import Image

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
device = "cuda"
torch.manual_seed(42)


class Generator(nn.Module):
    def __init__(self, latent=16, width=8):
        super().__init__()
        self.latent = latent
        self.main = nn.Sequential(
            nn.ConvTranspose2d(latent, 2 * width, 4, 1, 0, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 4, 1, 0, bias=False),
        )

    def forward(self, x):
        return self.main(x).flatten()


def real_batch(count):
    batch = -torch.ones(count, 3, 16, 16)
    for index in range(count):
        batch[index, index % 3, 4:12, 4:12] = 1
    return batch.to(device)


generator, discriminator = Generator().to(device), Discriminator().to(device)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
criterion = nn.BCEWithLogitsLoss()
# Drawn on the host, so that another card draws the same.
noise = torch.Generator().manual_seed(1)

for step in range(steps):
    real = real_batch(8)
    z = torch.randn(8, generator.latent, 1, 1, generator=noise).to(device)
    fake = generator(z)
    d_loss = criterion(discriminator(real), torch.ones(8, device=device)) + criterion(
        discriminator(fake.detach()), torch.zeros(8, device=device)
    )
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()
    g_loss = criterion(discriminator(fake), torch.ones(8, device=device))
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    print(f"[{step}/{steps}] D {d_loss.item():.4f} G {g_loss.item():.4f}")

with torch.no_grad():
    drawn = generator(torch.randn(4, generator.latent, 1, 1, generator=noise).to(device))
pixels = ((drawn.clamp(-1, 1) + 1) * 127.5).byte().permute(0, 2, 3, 1).cpu().numpy()
Image.fromarray(np.concatenate(list(pixels), axis=1)).save("drawn.png")
