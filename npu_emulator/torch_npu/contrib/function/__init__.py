"""Functions that stand in for torch's where the hardware is faster another way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from npu_emulator import surface
from npu_emulator.npu.not_emulated import NotEmulated

_MODULE = "torch_npu.contrib.function"
_FUSED_ROWS = (128, 256, 384, 512)

npu_batched_multiclass_nms = surface.refused("npu_batched_multiclass_nms", _MODULE)
npu_bbox_coder_encode_yolo = surface.refused("npu_bbox_coder_encode_yolo", _MODULE)
npu_fused_attention = surface.refused("npu_fused_attention", _MODULE)
npu_fused_attention_with_layernorm = surface.refused("npu_fused_attention_with_layernorm", _MODULE)
npu_multiclass_nms = surface.refused("npu_multiclass_nms", _MODULE)
npu_single_level_responsible_flags = surface.refused("npu_single_level_responsible_flags", _MODULE)


def box_dtype_check(box: Tensor) -> Tensor:
    """Boxes in float32, as the detection functions take them."""
    return box.float()


def _check_boxes(bboxes: Tensor, others: Tensor) -> None:
    if bboxes.size(0) != others.size(0) or not bboxes.size(-1) == others.size(-1) == 4:
        raise ValueError(f"expected two tensors of one shape [N, 4], but got {[*bboxes.shape]} and {[*others.shape]}")


def npu_bbox_coder_encode_xyxy2xywh(
    bboxes: Tensor,
    gt_bboxes: Tensor,
    means: Sequence[float] | None = None,
    stds: Sequence[float] | None = None,
    is_normalized: bool = False,
    normalized_scale: float = 10000.0,
) -> Tensor:
    """npu_bounding_box_encode of boxes [N, 4] in float32; normalized ones are scaled up first.

    Raises:
        ValueError: the boxes are of another shape, or of two.
    """
    _check_boxes(bboxes, gt_bboxes)
    scale = normalized_scale if is_normalized else 1
    boxes = (box_dtype_check(each) * scale for each in (bboxes, gt_bboxes))
    result: Tensor = torch.ops.npu.npu_bounding_box_encode(*boxes, *(means or [0.0] * 4), *(stds or [1.0] * 4))
    return result


def npu_bbox_coder_decode_xywh2xyxy(
    bboxes: Tensor,
    pred_bboxes: Tensor,
    means: Sequence[float] | None = None,
    stds: Sequence[float] | None = None,
    max_shape: Sequence[int] | None = None,
    wh_ratio_clip: float = 16 / 1000,
) -> Tensor:
    """npu_bounding_box_decode of boxes [N, 4] in float32; without ``max_shape`` cut to 9999 x 9999.

    Raises:
        ValueError: the boxes are of another shape, or of two.
    """
    _check_boxes(bboxes, pred_bboxes)
    boxes = (box_dtype_check(each) for each in (bboxes, pred_bboxes))
    scaling = (*(means or [0.0] * 4), *(stds or [1.0] * 4))
    result: Tensor = torch.ops.npu.npu_bounding_box_decode(*boxes, *scaling, max_shape or [9999, 9999], wh_ratio_clip)
    return result


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

    The fused operator drops by ``p`` in training, and is taken where the third size is one of 128, 256, 384 and 512 and
    the product of the first two is a multiple of 32; otherwise ``dropout`` is what drops. As in torch_npu the softmax
    is along the last dimension always.

    Raises:
        NotEmulated: ``dim`` is another.
    """
    if dim not in (-1, attn_scores.dim() - 1):
        raise NotEmulated(
            f"{_MODULE}.fuse_add_softmax_dropout: dim is {dim}, but torch_npu takes the softmax along the last always"
        )
    scale = 1 / math.sqrt(attn_head_size)
    batch, heads, rows, _ = attn_scores.shape
    if rows in _FUSED_ROWS and batch * heads % 32 == 0:
        drops = p if training else 0.0
        result: Tensor = torch.ops.npu.npu_dropout_with_add_softmax(attn_scores, attn_mask, scale, drops, -1)[2]
        return result
    return dropout(torch.softmax(torch.add(attn_mask, attn_scores, alpha=scale), -1))


def dropout_with_byte_mask(input1: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout.

    Raises:
        ValueError: p is no probability, or it is asked for in place.
    """
    if inplace:
        raise ValueError("dropout_with_byte_mask: inplace is True, expected False")
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return torch.nn.functional.dropout(input1, p, training)


def npu_fast_condition_index_put(x: Tensor, condition: Tensor, value: float) -> Tensor:
    """x with ``value`` where ``condition`` holds, as a copy.

    Raises:
        TypeError: the condition is not bool.
    """
    if condition.dtype != torch.bool:
        raise TypeError(f"npu_fast_condition_index_put: condition is {condition.dtype}, expected torch.bool")
    return torch.where(condition, value, x)


def roll(input1: Tensor, shifts: Sequence[int], dims: Sequence[int]) -> Tensor:
    """torch.roll of [N, H, W, C] along H and W.

    Raises:
        ValueError: the tensor has not four dimensions, or shifts or dims are not two.
        NotEmulated: ``dims`` are others; torch_npu takes H and W whatever it says.
    """
    if input1.dim() != 4 or len(shifts) != 2 or len(dims) != 2:
        raise ValueError(
            f"roll: expected 4 dimensions, 2 shifts and 2 dims, but got {input1.dim()}, {len(shifts)} and {len(dims)}"
        )
    if [dim % 4 for dim in dims] != [1, 2]:
        raise NotEmulated(f"{_MODULE}.roll: dims is {tuple(dims)}, but torch_npu rolls along (1, 2) always")
    return torch.roll(input1, tuple(shifts), (1, 2))
