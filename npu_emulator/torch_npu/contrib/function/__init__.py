"""Functions that stand in for torch's where the hardware is faster another way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from npu_emulator.npu.not_emulated import placeholder

_MODULE = "torch_npu.contrib.function"

npu_batched_multiclass_nms = placeholder("npu_batched_multiclass_nms", _MODULE)
npu_bbox_coder_decode_xywh2xyxy = placeholder("npu_bbox_coder_decode_xywh2xyxy", _MODULE)
npu_bbox_coder_encode_xyxy2xywh = placeholder("npu_bbox_coder_encode_xyxy2xywh", _MODULE)
npu_bbox_coder_encode_yolo = placeholder("npu_bbox_coder_encode_yolo", _MODULE)
npu_fused_attention = placeholder("npu_fused_attention", _MODULE)
npu_fused_attention_with_layernorm = placeholder("npu_fused_attention_with_layernorm", _MODULE)
npu_multiclass_nms = placeholder("npu_multiclass_nms", _MODULE)
npu_single_level_responsible_flags = placeholder("npu_single_level_responsible_flags", _MODULE)


def matmul_transpose(tensor1: Tensor, tensor2: Tensor) -> Tensor:
    """tensor1 @ tensor2, the latter's last two dimensions exchanged."""
    return torch.matmul(tensor1, tensor2.transpose(-2, -1))


def fuse_add_softmax_dropout(
    training: bool,
    dropout: Callable[[Tensor], Tensor],
    attn_mask: Tensor,
    attn_scores: Tensor,
    attn_head_size: float,
    p: float = 0.5,
    dim: int = -1,
) -> Tensor:
    """Softmax along ``dim`` of attn_scores / sqrt(attn_head_size) + attn_mask, and its dropout.

    In training by ``p``, otherwise by ``dropout``, as on hardware.
    """
    scale = 1 / math.sqrt(attn_head_size)
    if training:
        result: Tensor = torch.ops.npu.npu_dropout_with_add_softmax(attn_scores, attn_mask, scale, p, dim)[2]
        return result
    return dropout(torch.softmax(torch.add(attn_mask, attn_scores, alpha=scale), dim))


def dropout_with_byte_mask(input1: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout.

    Raises:
        ValueError: p is no probability.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return torch.nn.functional.dropout(input1, p, training, inplace)


def npu_fast_condition_index_put(x: Tensor, condition: Tensor, value: float) -> Tensor:
    """x with ``value`` where ``condition`` holds, as a copy.

    Raises:
        AssertionError: the condition is not bool.
    """
    if condition.dtype != torch.bool:
        raise AssertionError(f"npu_fast_condition_index_put: condition is {condition.dtype}, expected torch.bool")
    return torch.where(condition, value, x)


def roll(input1: Tensor, shifts: Sequence[int], dims: Sequence[int]) -> Tensor:
    """torch.roll along two dimensions."""
    return torch.roll(input1, tuple(shifts), tuple(dims))
