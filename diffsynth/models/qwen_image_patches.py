"""How Qwen-Image's pictures are cut into tokens: patches of 2x2 latent cells, the channel slowest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 2  # latent cells of a token, on each axis


def patches(latents: Tensor) -> Tensor:
    """(B, C, H, W) to tokens (B, S, 4 C)."""
    return F.pixel_unshuffle(latents, PATCH).flatten(2).transpose(1, 2)


def unpatched(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Tokens (B, rows * columns, 4 C) to (B, C, H, W)."""
    return F.pixel_shuffle(torch.unflatten(tokens.transpose(1, 2), 2, (rows, columns)), PATCH)
