"""Which pairs of positions a ``sparse_mode`` computes.

Rows are queries, columns keys. ``pre`` and ``next`` count from the diagonal: a row computes the columns from
``pre`` before it to ``next`` after it. The diagonal starts in the upper left corner, or ends in the lower right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from npu_emulator.operators.attention_core import Keep, nothing
from npu_emulator.operators.limits import MASKS, invalid, limit, refuse, require, types

DEFAULT, ALL, LEFT_UP, RIGHT_DOWN, BAND, PREFIX, SHORT_PREFIX, CUT_RIGHT_DOWN, CUT_LEFT_UP = range(9)
# The masks of these modes have one size whatever the sequences'.
COMPRESSED = {
    LEFT_UP: (2048, 2048),
    RIGHT_DOWN: (2048, 2048),
    BAND: (2048, 2048),
    SHORT_PREFIX: (3072, 2048),
    CUT_RIGHT_DOWN: (2048, 2048),
    CUT_LEFT_UP: (2048, 2048),
}


@dataclass(frozen=True)
class Masking:
    """The mask arguments of one call."""

    operator: str
    mode: int
    mask: Tensor | None
    pre: int
    next: int
    prefix: Sequence[int] | None = None


def check(masking: Masking, modes: Sequence[int]) -> None:
    """Refuses modes and masks that do not go together."""
    operator, mode, mask = masking.operator, masking.mode, masking.mask
    limit(mode in modes, operator, "sparse_mode", mode, " or ".join(map(str, modes)))
    if mode not in range(9):
        invalid(operator, "sparse_mode", mode, "0 to 8")
    if mask is None:
        return
    types(operator, (*MASKS, torch.int8), atten_mask=mask)
    if mode in COMPRESSED:
        require(
            tuple(mask.shape[-2:]) == COMPRESSED[mode] and mask.numel() == mask.shape[-2] * mask.shape[-1],
            operator,
            f"atten_mask of sparse_mode {mode}",
            list(mask.shape),
            list(COMPRESSED[mode]),
        )
        corners = mask[..., 0, 0].any(), mask[..., 0, -1].all(), mask[..., 2047, 0].any()
        if mask.device.type != "meta" and tuple(map(bool, corners)) != (False, True, False):
            refuse(operator, f"atten_mask of sparse_mode {mode}", "another matrix", "1 above the diagonal, 0 elsewhere")
    if mode in (PREFIX, SHORT_PREFIX):
        require(masking.prefix is not None, operator, "prefix", None, f"one number a sequence for sparse_mode {mode}")
    if mode in (DEFAULT, BAND):
        require(masking.pre + masking.next >= 0, operator, "pre and next tokens", (masking.pre, masking.next), "a band")


def keep_of(masking: Masking, index: int, count: int, rows: int, columns: int) -> Keep:
    """What segment ``index`` of ``count`` computes, ``rows`` queries on ``columns`` keys."""
    if masking.mask is None:
        return nothing
    mode = _mode_of_segment(masking.mode, index, count)
    shift = columns - rows
    device = masking.mask.device
    given = None if mode in COMPRESSED else _mask_of_segment(masking, index, rows, columns)

    def keep(first: int, last: int) -> Tensor | None:
        row = torch.arange(first, last, device=device)[:, None]
        column = torch.arange(columns, device=device)[None]
        if mode == LEFT_UP:
            return column <= row
        if mode == RIGHT_DOWN:
            return column <= row + shift
        if mode == BAND:
            return (column >= row + shift - masking.pre) & (column <= row + shift + masking.next)
        if mode == SHORT_PREFIX:
            assert masking.prefix is not None
            return (column <= row + shift) | (column < masking.prefix[index])
        assert given is not None
        inside = ~given[..., first:last, :]
        if mode == DEFAULT:
            inside = inside & (column >= row - masking.pre) & (column <= row + masking.next)
        return inside

    return keep


def _mode_of_segment(mode: int, index: int, count: int) -> int:
    # A long sequence cut among devices: the segment at the cut is a band, the others are causal.
    if mode == CUT_RIGHT_DOWN:
        return BAND if index == count - 1 else RIGHT_DOWN
    if mode == CUT_LEFT_UP:
        return BAND if index == 0 else LEFT_UP
    return mode


def _mask_of_segment(masking: Masking, index: int, rows: int, columns: int) -> Tensor:
    """[rows, columns] or [heads, rows, columns], True where a pair is left out."""
    mask = masking.mask
    assert mask is not None
    if mask.dim() == 4:
        mask = mask[index if mask.shape[0] > 1 else 0]
    elif mask.dim() == 3:
        mask = mask[index if mask.shape[0] > 1 else 0][None]
    fits = mask.shape[-2] >= rows and mask.shape[-1] >= columns
    require(fits, masking.operator, "atten_mask", list(mask.shape), f"at least [{rows}, {columns}]")
    return mask[..., :rows, :columns].bool()
