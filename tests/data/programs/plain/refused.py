"""Filters a signal in double-precision complex numbers, which no Ascend NPU takes."""

import torch

signal = torch.sin(torch.linspace(0, 50, 1024, dtype=torch.float64)).cuda()
spectrum = torch.fft.fft(signal)
kept = spectrum[torch.argsort(spectrum.abs(), descending=True)[:16]]
print(f"energy kept: {kept.abs().pow(2).sum().item():.6f}")
