"""From a file to a device through two pinned buffers: one is filled while the other is on its way."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffsynth.core.vram.memory import HOST, allocate
from diffsynth.core.vram.streams import has_streams, mark


class Staging:
    """Two buffers, allocated at their first use.

    Args:
        device: where the model computes.
        size: bytes of the largest tensor that will be sent.
    """

    def __init__(self, device: torch.device, size: int) -> None:
        self._device = device
        self._size = size
        self._buffers: list[Tensor] = []
        self._sent: list[torch.Event | None] = [None, None]
        self._next = 0

    def send(self, out: Tensor, fill: Callable[[Tensor], None]) -> None:
        """Lets `fill` write the values to a host tensor like `out`, and starts sending that.

        On a device with streams it is under way on the current one when this returns.
        """
        if not self._buffers:
            self._buffers = [allocate(self._size, HOST, pinned=has_streams(self._device)) for _ in range(2)]
        turn, self._next = self._next, 1 - self._next
        sent = self._sent[turn]
        if sent is not None:
            sent.synchronize()
        size = math.prod(out.shape) * out.dtype.itemsize
        host = self._buffers[turn][:size].view(out.dtype).view(out.shape)
        fill(host)
        out.copy_(host, non_blocking=has_streams(out.device))
        self._sent[turn] = mark(out.device)

    def free(self) -> None:
        """Gives the buffers back; everything sent has to have arrived."""
        self._buffers = []
        self._sent = [None, None]
