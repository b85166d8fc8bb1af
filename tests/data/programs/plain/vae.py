"""Trains a variational autoencoder, and saves reconstructions with numpy."""

import argparse

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F

parser = argparse.ArgumentParser(description="VAE example")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--no-cuda", action="store_true", default=False)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
use_cuda = not args.no_cuda and torch.cuda.is_available()

torch.manual_seed(args.seed)
device = torch.device("cuda" if use_cuda else "cpu")
print("device in use:", device)


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.mean = nn.Linear(32, 4)
        self.logvar = nn.Linear(32, 4)
        self.fc3 = nn.Linear(4, 32)
        self.fc4 = nn.Linear(32, 64)

    def encode(self, x):
        h = F.relu(self.fc1(x))
        return self.mean(h), self.logvar(h)

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x, noise):
        mu, logvar = self.encode(x.view(-1, 64))
        z = mu + noise * torch.exp(0.5 * logvar)
        return self.decode(z), mu, logvar


def loss_function(reconstructed, x, mu, logvar):
    bce = F.binary_cross_entropy(reconstructed, x.view(-1, 64), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


model = VAE().to(device)
optimizer = optim.Adam(model.parameters(), lr=1e-3)
data = torch.rand(64, 8, 8)
model.train()
for epoch in range(1, args.epochs + 1):
    total = 0.0
    for batch in data.split(16):
        batch = batch.to(device)
        optimizer.zero_grad()
        reconstructed, mu, logvar = model(batch, torch.randn(16, 4).to(device))
        loss = loss_function(reconstructed, batch, mu, logvar)
        loss.backward()
        total += loss.item()
        optimizer.step()
    print(f"====> Epoch: {epoch} Average loss: {total / len(data):.4f}")

model.eval()
with torch.no_grad():
    sample = model.decode(torch.randn(8, 4).to(device)).cpu()
np.savez("samples.npz", samples=sample.numpy(), first=data[0].numpy())
