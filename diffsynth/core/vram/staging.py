"""From host memory to a device through a ring of pinned buffers: some are filled while others are on their way.

Page-locking memory costs the system as long as copying it several times, so there is one piece of it, of a size that
no model changes; what is larger than a buffer travels in parts.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from diffsynth.core.vram.memory import HOST, allocate, has_streams, mark

BUFFERS = 4
BUFFER_BYTES = 16 << 20


class Cargo(NamedTuple):
    """What is to be sent to one tensor.

    Attributes:
        out: contiguous, on the device.
        fill: ``fill(start, host)`` writes the values from number `start` on, in the type of `out`, to a 1D tensor; it
            is called from several threads at once.
    """

    out: Tensor
    fill: Callable[[int, Tensor], None]


@dataclass(eq=False)
class Staging:
    """The ring, allocated at its first use, and the threads that fill it.

    Attributes:
        device: where the model computes.
    """

    device: torch.device
    _buffers: Sequence[Tensor] = ()
    _sent: list[torch.Event | None] = field(default_factory=lambda: [None] * BUFFERS)
    _next: int = 0
    _threads: ThreadPoolExecutor | None = None

    def send(self, cargoes: Iterable[Cargo]) -> None:
        """Sends everything, in order. On a device with streams the last parts are still under way on the current one
        when this returns; buffers fill while those before them travel.

        Raises whatever `fill` raises; no thread writes to a buffer any more then.
        """
        if self._threads is None:
            memory = allocate(BUFFERS * BUFFER_BYTES, HOST, pinned=has_streams(self.device))
            self._buffers = [memory[turn * BUFFER_BYTES :][:BUFFER_BYTES] for turn in range(BUFFERS)]
            threads = min(BUFFERS, os.cpu_count() or 1)
            self._threads = ThreadPoolExecutor(threads, thread_name_prefix="weights-staging")
        filling: deque[tuple[int, Tensor, Tensor, Future[None]]] = deque()
        try:
            for cargo in cargoes:
                count = BUFFER_BYTES // cargo.out.dtype.itemsize
                for number, part in enumerate(torch.split(cargo.out.view(-1), count)):
                    if len(filling) == BUFFERS:
                        self._depart(*filling.popleft())
                    turn, host = self._empty_buffer(part)
                    filling.append((turn, host, part, self._threads.submit(cargo.fill, number * count, host)))
            while filling:
                self._depart(*filling.popleft())
        finally:
            for _, _, _, filled in filling:
                filled.exception()

    def _empty_buffer(self, part: Tensor) -> tuple[int, Tensor]:
        """A buffer's number, and its memory as a tensor like `part`; what was in it has been sent."""
        turn, self._next = self._next, (self._next + 1) % BUFFERS
        sent = self._sent[turn]
        if sent is not None:
            sent.synchronize()
        return turn, self._buffers[turn][: part.nbytes].view(part.dtype)

    def _depart(self, turn: int, host: Tensor, part: Tensor, filled: Future[None]) -> None:
        filled.result()
        part.copy_(host, non_blocking=has_streams(part.device))
        self._sent[turn] = mark(part.device)

    def free(self) -> None:
        """Gives the buffers back; everything sent has to have arrived."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
        self._threads = None
        self._buffers = ()
        self._sent = [None] * BUFFERS
