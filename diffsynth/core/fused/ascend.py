"""The operators in torch_npu's: one each for the rotary embedding, the RMS norm, and the layer norm with its gain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torch_npu
from torch import Tensor

# The vendor's SwiGLU takes both halves as one tensor: to put them together costs more than it saves.
from diffsynth.core.fused.plain import gated, swiglu

__all__ = [
    "added_rms_normed",
    "gated",
    "modulated",
    "normed_and_activated",
    "normed_and_rotated",
    "rms_normed",
    "swiglu",
]


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    width = list(tokens.shape[-1:])
    # Alone, the operator computes in float32 whatever it takes and gives; the one with a gradient wants one type.
    differentiable = torch.is_grad_enabled() and any(each.requires_grad for each in (tokens, shift, scale))
    given = tokens.float() if differentiable else tokens
    gain, bias = 1 + scale.float(), shift.float()
    normed = [
        F.layer_norm(sample, width, own_gain, own_bias, eps)
        if differentiable
        else torch_npu.npu_layer_norm_eval(sample, width, own_gain, own_bias, eps)
        for sample, own_gain, own_bias in zip(given, gain, bias, strict=True)
    ]
    return (normed[0].unsqueeze(0) if len(normed) == 1 else torch.stack(normed)).to(tokens.dtype)


def normed_and_activated(frames: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.silu(torch_npu.npu_rms_norm(frames, weight, eps)[0], inplace=True)


def normed_and_rotated(tokens: Tensor, weight: Tensor, eps: float, head_dim: int, cos: Tensor, sin: Tensor) -> Tensor:
    if weight.shape[0] == head_dim:
        heads = torch_npu.npu_rms_norm(torch.unflatten(tokens, -1, (-1, head_dim)), weight, eps)[0]
    else:
        heads = torch.unflatten(torch_npu.npu_rms_norm(tokens, weight, eps)[0], -1, (-1, head_dim))
    # Angles of thousands of positions cannot be told apart in a type of 16 bits: all in that of the tables.
    tables = (cos.unsqueeze(0), sin.unsqueeze(0))
    turned: Tensor = torch_npu.npu_rotary_mul(heads.to(cos.dtype), *tables, rotary_mode="interleave")
    return turned.to(tokens.dtype)


def rms_normed(tokens: Tensor, gain: Tensor, eps: float) -> Tensor:
    if gain.ndim == 1:
        normed: Tensor = torch_npu.npu_rms_norm(tokens, gain.to(tokens.dtype), eps)[0]
        return normed
    of_samples = [
        torch_npu.npu_rms_norm(sample, own, eps)[0] for sample, own in zip(tokens, gain.to(tokens.dtype), strict=True)
    ]
    return of_samples[0].unsqueeze(0) if len(of_samples) == 1 else torch.stack(of_samples)


def added_rms_normed(tokens: Tensor, update: Tensor, gain: Tensor, eps: float) -> Tensor:
    return tokens + rms_normed(update, gain, eps)
