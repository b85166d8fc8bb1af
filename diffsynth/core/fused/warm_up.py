"""What a device loads or compiles when it first computes, brought forward to where a program loads anyway."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.device.device_types import CPU, CUDA
from diffsynth.core.fused.choice import gated, gelu_of_linear, modulated, normed_and_rotated

_TOKENS = 16


@torch.no_grad()
def warm_up(device: torch.device, dtype: torch.dtype, *, dim: int, head_dim: int, normed: int) -> None:
    """Computes a few tokens of made-up values as a block of a transformer would. Nothing on the CPU.

    Args:
        dim: width of the tokens.
        head_dim: width of a head.
        normed: how many channels the RMS norms of queries and keys take together.
    """
    if device.type == CPU:
        return
    tokens = torch.zeros(1, _TOKENS, dim, device=device, dtype=dtype)
    table = torch.zeros(_TOKENS, 1, head_dim, device=device)
    for rows in (torch.zeros(1, dim, device=device), torch.zeros(1, dim, device=device, dtype=dtype)):
        gated(modulated(tokens, rows, rows, 1e-6), tokens, rows)
    weight = torch.ones(normed, device=device, dtype=dtype)
    heads = normed_and_rotated(tokens, weight, 1e-6, head_dim, table, table)
    attention(heads, heads, heads)
    if device.type == CUDA:
        gelu_of_linear(nn.utils.skip_init(nn.Linear, dim, head_dim, device=device, dtype=dtype), tokens)
    image = torch.zeros(1, 16, 8, 8, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    F.conv2d(image, torch.zeros(16, 16, 3, 3, device=device, dtype=dtype), padding=1)
