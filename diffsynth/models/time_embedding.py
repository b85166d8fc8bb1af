"""The timestep as a network sees it: cosines and sines, and layers that keep them in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoid(timestep: Tensor, dim: int) -> Tensor:
    """Timesteps (B,) to cosines, then sines, of angles that fall from the timestep itself to its 10000th: (B, dim)."""
    half = dim // 2
    frequencies = 10000.0 ** (torch.arange(half, dtype=torch.float64, device="cpu") / -half)
    angles = torch.outer(timestep.float(), frequencies.float().to(timestep.device))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32, whatever type its weights are kept in."""

    def forward(self, features: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features), float32."""
        if self.weight.dtype == torch.float32:
            return super().forward(features)
        # A square piece at a time, so that the whole weight never exists in float32.
        pieces = [F.linear(features, rows.float()) for rows in torch.split(self.weight, self.in_features)]
        return torch.cat(pieces, dim=-1) + self.bias.float()
