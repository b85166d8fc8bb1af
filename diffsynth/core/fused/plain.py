"""The operators in torch's own: what each of them computes, on every device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """A layer norm without weights, times ``1 + scale`` plus ``shift``.

    Args:
        tokens: (B, S, dim).
        shift, scale: (B, dim), of the tokens' type or float32.

    Returns:
        The shape and type of `tokens`.
    """
    width = tokens.shape[-1:]
    if scale.dtype == tokens.dtype:
        normed = [
            F.layer_norm(sample, width, gain, bias, eps)
            for sample, gain, bias in zip(tokens, 1 + scale, shift, strict=True)
        ]
        return normed[0].unsqueeze(0) if len(normed) == 1 else torch.stack(normed)
    normed_all = F.layer_norm(tokens.float(), width, eps=eps)
    return torch.addcmul(shift.unsqueeze(1), normed_all, 1 + scale.unsqueeze(1)).to(tokens.dtype)


def gated(tokens: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """Tokens (B, S, dim) plus `gate` (B, dim) times the update (B, S, dim); in the type of `tokens`."""
    return torch.addcmul(tokens, update, gate.unsqueeze(1)).to(tokens.dtype)


def normed_and_activated(frames: Tensor, weight: Tensor, eps: float) -> Tensor:
    """SiLU of an RMS norm over the last axis, whose channels `weight` (channels,) scales; in the type of `frames`."""
    return F.silu(F.rms_norm(frames, tuple(weight.shape), weight, eps), inplace=True)


def normed_and_rotated(tokens: Tensor, weight: Tensor, eps: float, head_dim: int, cos: Tensor, sin: Tensor) -> Tensor:
    """An RMS norm, then a rotary embedding of each head.

    Args:
        tokens: (B, S, heads * head_dim).
        weight: of the norm, which is over as many channels: those of a head, or of all heads together.
        cos, sin: (S, 1, head_dim), each number twice, once for either channel of its pair of neighbours; float32.

    Returns:
        (B, S, heads, head_dim), in the type of `tokens`.
    """
    if weight.shape[0] == head_dim:
        heads = F.rms_norm(torch.unflatten(tokens, -1, (-1, head_dim)), (head_dim,), weight, eps)
    else:
        heads = torch.unflatten(F.rms_norm(tokens, tuple(weight.shape), weight, eps), -1, (-1, head_dim))
    return rotated(heads, cos, sin)


def rms_normed(tokens: Tensor, gain: Tensor, eps: float) -> Tensor:
    """An RMS norm of tokens (B, S, dim), whose channels `gain` scales: (dim,), or (B, dim); in the type of `tokens`."""
    width = tuple(tokens.shape[-1:])
    if gain.ndim == 1:
        return F.rms_norm(tokens, width, gain, eps)
    normed = [F.rms_norm(sample, width, own, eps) for sample, own in zip(tokens, gain, strict=True)]
    return normed[0].unsqueeze(0) if len(normed) == 1 else torch.stack(normed)


def added_rms_normed(tokens: Tensor, update: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Tokens (B, S, dim) plus the RMS norm of an update of their shape, scaled by `gain`; in the type of `tokens`."""
    normed = rms_normed(update, gain, eps)
    if normed.requires_grad or tokens.requires_grad:
        return tokens + normed
    return normed.add_(tokens)


def swiglu(gate: Tensor, values: Tensor) -> Tensor:
    """SiLU of the gate times the values, of one shape and type. Without gradients, either may be written over."""
    if gate.requires_grad or values.requires_grad:
        return F.silu(gate) * values
    return F.silu(gate, inplace=True).mul_(values)


def rotated(tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair (even, odd) to (even cos - odd sin, odd cos + even sin), computed in float32.

    Args:
        tokens: (B, S, heads, head_dim).
        cos, sin: (S, 1, head_dim), each number twice.

    Returns:
        The shape and dtype of `tokens`.
    """
    pairs = torch.unflatten(tokens.float(), -1, (-1, 2))
    turned = pairs * torch.unflatten(cos, -1, (-1, 2))
    sin = sin[..., ::2]
    turned[..., 0].addcmul_(pairs[..., 1], sin, value=-1)
    turned[..., 1].addcmul_(pairs[..., 0], sin)
    return turned.flatten(-2).to(tokens.dtype)
