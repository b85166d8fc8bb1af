"""Boxes of detection, [N, 4] as left, top, right and bottom pixel, both included, against offsets from anchors.

The formulas are those that give the numbers of the operators' published examples; the offsets are (x, y) of the centre
in widths and heights of the anchor, and logarithms of the ratios of width and height.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from npu_emulator.operators.limits import require, same_type, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import kernel

_TYPES = (torch.float32, torch.float16)


def _check(operator: str, **boxes: Tensor) -> None:
    types(operator, _TYPES, **boxes)
    same_type(operator, **boxes)
    rows = next(iter(boxes.values())).shape[0]
    for name, tensor in boxes.items():
        require(tensor.shape == (rows, 4), operator, name, list(tensor.shape), [rows, 4])


def _centres_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    first, last = wide(boxes).chunk(2, 1)
    return (first + last) / 2, last - first + 1


@kernel("npu_bounding_box_encode")
def bounding_box_encode(
    anchor_box: Tensor,
    ground_truth_box: Tensor,
    means0: float,
    means1: float,
    means2: float,
    means3: float,
    stds0: float,
    stds1: float,
    stds2: float,
    stds3: float,
) -> Tensor:
    """The offsets [N, 4] of the second boxes from the first, less the means, over the deviations."""
    _check("npu_bounding_box_encode", anchor_box=anchor_box, ground_truth_box=ground_truth_box)
    centre, size = _centres_and_sizes(anchor_box)
    true_centre, true_size = _centres_and_sizes(ground_truth_box)
    offsets = torch.cat(((true_centre - centre) / size, (true_size / size).abs().log()), 1)
    means, deviations = offsets.new_tensor([[means0, means1, means2, means3], [stds0, stds1, stds2, stds3]])
    result: Tensor = (offsets - means) / deviations
    return result.to(anchor_box.dtype)


@kernel("npu_bounding_box_decode")
def bounding_box_decode(
    rois: Tensor,
    deltas: Tensor,
    means0: float,
    means1: float,
    means2: float,
    means3: float,
    stds0: float,
    stds1: float,
    stds2: float,
    stds3: float,
    max_shape: list[int],
    wh_ratio_clip: float,
) -> Tensor:
    """The boxes at offsets from others, cut to ``max_shape`` (height, width).

    Width and height change by the factor 1 / wh_ratio_clip at most.
    """
    operator = "npu_bounding_box_decode"
    _check(operator, rois=rois, deltas=deltas)
    require(len(max_shape) == 2, operator, "max_shape", list(max_shape), "[height, width]")
    require(wh_ratio_clip > 0, operator, "wh_ratio_clip", wh_ratio_clip, "a number above 0")
    centre, size = _centres_and_sizes(rois)
    means, deviations = size.new_tensor([[means0, means1, means2, means3], [stds0, stds1, stds2, stds3]])
    moved, scaled = (wide(deltas) * deviations + means).chunk(2, 1)
    largest = abs(math.log(wh_ratio_clip))
    centre, half = centre + size * moved, size * scaled.clamp(-largest, largest).exp() / 2
    boxes = torch.cat((centre - half + 0.5, centre + half - 0.5), 1)
    bounds = boxes.new_tensor([max_shape[1] - 1, max_shape[0] - 1] * 2)
    return boxes.clamp(min=0).minimum(bounds).to(rois.dtype)
