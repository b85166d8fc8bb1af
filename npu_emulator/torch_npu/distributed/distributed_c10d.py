"""Collectives over parts of unequal size, made of those that torch.distributed has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def is_hccl_available() -> bool:
    """True: the process group hccl is there."""
    return True


def reinit_process_group(group: Any = None, rebuild_link: bool = True) -> Any:
    """The group, whose links do not break here; None unless they were to be built again, as on hardware."""
    return (group or dist.group.WORLD) if rebuild_link else None


def _sizes(total: int, given: Sequence[int] | None, group: Any) -> list[int]:
    """Rows of each rank's part; equal parts where nothing is given.

    Raises:
        ValueError: they do not add up.
    """
    ranks = dist.get_world_size(group)
    sizes = list(given) if given else [total // ranks] * ranks
    if len(sizes) != ranks or sum(sizes) != total:
        raise ValueError(f"split sizes {sizes} must be {ranks} numbers that add up to {total}")
    return sizes


def _all_gather_into_tensor_uneven(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Any:
    """Gathers ``input`` of every rank into ``output``, [sum of sizes, ...], the rows of rank i at its place.

    Raises:
        ValueError: the sizes do not add up to the rows of ``output``.
    """
    sizes = _sizes(output.shape[0], output_split_sizes, group)
    send = torch.cat([input] * len(sizes))
    return dist.all_to_all_single(output, send, sizes, [input.shape[0]] * len(sizes), group=group, async_op=async_op)


def _reduce_scatter_tensor_uneven(
    output: Tensor,
    input: Tensor,
    input_split_sizes: Sequence[int] | None = None,
    op: Any = dist.ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Any:
    """Reduces ``input``, [sum of sizes, ...], over the ranks; ``output`` gets the rows of this rank.

    Raises:
        ValueError: the sizes do not add up to the rows of ``input``.
    """
    sizes = _sizes(input.shape[0], input_split_sizes, group)
    reduced = input.clone()
    work = dist.all_reduce(reduced, op=op, group=group, async_op=True)
    work.wait()
    output.copy_(torch.split(reduced, sizes)[dist.get_rank(group)])
    return work if async_op else None


def _all_to_all_vc(
    output: Tensor, input: Tensor, send_count_matrix: Sequence[Sequence[int]], group: Any = None, async_op: bool = False
) -> Any:
    """All-to-all where rank i sends ``send_count_matrix[i][j]`` elements to rank j.

    Raises:
        ValueError: the matrix does not have a row and a column for each rank.
    """
    ranks, rank = dist.get_world_size(group), dist.get_rank(group)
    if len(send_count_matrix) != ranks or any(len(row) != ranks for row in send_count_matrix):
        raise ValueError(f"send_count_matrix must be a square [{ranks}][{ranks}] matrix, got {send_count_matrix}")
    received = [int(row[rank]) for row in send_count_matrix]
    sent = [int(count) for count in send_count_matrix[rank]]
    return dist.all_to_all_single(output.view(-1), input.reshape(-1), received, sent, group=group, async_op=async_op)
