"""Processes that talk to each other: the few collectives that are needed, every byte counted, every failure named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from diffsynth.core.parallel import RankError
from diffsynth.core.parallel.lost_ranks import GRACE, LostRanks

# The newer of its names, where torch has it; the older one warns there.
_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)

ALL_TO_ALL, RING, GATHER, SUM, BROADCAST = "all-to-all", "ring", "gather", "sum", "broadcast"


class Traffic(Counter[str]):
    """Bytes that this process has sent, by kind: the payload alone, and nothing for what stays in the process."""


class Moving:
    """Tensors on their way to the next rank, while others come in from the one before."""

    def __init__(self, group: Group, works: Sequence[dist.Work], sent: Sequence[Tensor]) -> None:
        self._group, self._works = group, works
        self._sent = sent  # alive until they have left

    def wait(self) -> None:
        """Until all are there."""
        with self._group._naming_the_lost():
            for work in self._works:
                work.wait()
        self._sent = ()


class Group:
    """Some of the processes, in an order.

    Attributes:
        ranks: their numbers among all.
        index: the place of this process among them.
    """

    def __init__(
        self,
        ranks: Sequence[int],
        rank: int,
        process_group: dist.ProcessGroup | None,
        lost_ranks: LostRanks,
        traffic: Traffic,
    ) -> None:
        self.ranks = tuple(ranks)
        self.index = self.ranks.index(rank)
        self.traffic = traffic
        self._process_group = process_group
        self._lost_ranks = lost_ranks

    @property
    def size(self) -> int:
        """How many they are."""
        return len(self.ranks)

    def all_to_all(
        self, received: Tensor, sent: Tensor, receive_sizes: Sequence[int], send_sizes: Sequence[int]
    ) -> None:
        """Sends a part of `sent` to each rank, and receives one from each; both 1D, sizes in elements."""
        self._count(ALL_TO_ALL, sum(send_sizes) - send_sizes[self.index], sent)
        with self._naming_the_lost():
            dist.all_to_all_single(received, sent, list(receive_sizes), list(send_sizes), group=self._process_group)

    def pass_on(self, sent: Sequence[Tensor], received: Sequence[Tensor]) -> Moving:
        """Starts sending tensors to the next rank, and receiving others from the one before; all contiguous."""
        following = self.ranks[(self.index + 1) % self.size]
        preceding = self.ranks[(self.index - 1) % self.size]
        moves = [dist.P2POp(dist.isend, one, following, self._process_group) for one in sent if one.numel()]
        moves += [dist.P2POp(dist.irecv, one, preceding, self._process_group) for one in received if one.numel()]
        for one in sent:
            self._count(RING, one.numel(), one)
        with self._naming_the_lost():
            return Moving(self, dist.batch_isend_irecv(moves) if moves else [], sent)

    def gather(self, tensor: Tensor, lengths: Sequence[int] | None = None) -> list[Tensor]:
        """The tensor of every rank, in order.

        Args:
            tensor: of the same shape on all ranks, but for the first axis where `lengths` are given.
            lengths: the size of each rank's first axis.
        """
        lengths = [tensor.shape[0]] * self.size if lengths is None else lengths
        if self.size == 1:
            return [tensor]
        longest = max(lengths)
        padded = tensor.new_zeros(longest, *tensor.shape[1:])
        padded[: tensor.shape[0]] = tensor
        together = tensor.new_empty(self.size * longest, *tensor.shape[1:])
        self._count(GATHER, (self.size - 1) * padded.numel(), tensor)
        with self._naming_the_lost():
            _all_gather(together, padded, group=self._process_group)
        return [part[:length] for part, length in zip(torch.split(together, longest), lengths, strict=True)]

    def sum(self, tensor: Tensor) -> Tensor:
        """Adds up the tensors of all ranks in place. Counted as a ring would send them."""
        if self.size > 1:
            self._count(SUM, 2 * (self.size - 1) * tensor.numel() // self.size, tensor)
            with self._naming_the_lost():
                dist.all_reduce(tensor, group=self._process_group)
        return tensor

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The first rank's tensor, written over everyone's. Counted as if the first sent it to each."""
        if self.size > 1:
            self._count(BROADCAST, (self.size - 1) * tensor.numel() if self.index == 0 else 0, tensor)
            with self._naming_the_lost():
                dist.broadcast(tensor, self.ranks[0], group=self._process_group)
        return tensor

    def _count(self, kind: str, elements: int, tensor: Tensor) -> None:
        self.traffic[kind] += elements * tensor.element_size()

    @contextmanager
    def _naming_the_lost(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            loss = self._lost_ranks.loss(wait=GRACE / 2)
            if loss:
                raise RankError(f"{loss}: the other ranks cannot go on without it") from error
            line = str(error).strip().splitlines()[0]
            raise RankError(f"ranks {list(self.ranks)} failed to talk to each other: {line}") from error
