"""Counting floating point operations."""

from __future__ import annotations

from typing import Any

from torch.utils.flop_counter import FlopCounterMode


class _FlopsCounter:
    """Counts between ``start`` and ``stop``, by torch's own counter; not while paused."""

    def __init__(self) -> None:
        self._mode: Any = None
        self._paused = False
        self._counted = 0
        self._traversed = 0

    def start(self) -> None:
        """Begins to count, from 0."""
        self._counted = self._traversed = 0
        self._open()

    def stop(self) -> None:
        """Ends the count, and forgets it."""
        self._close()
        self._counted = self._traversed = 0

    def pause(self) -> None:
        """What runs until ``resume`` is traversed but not recorded."""
        self._close()
        self._paused = True
        self._open()

    def resume(self) -> None:
        """Goes on recording."""
        self._close()
        self._paused = False
        self._open()

    def get_flops(self) -> list[int]:
        """Operations recorded, and operations traversed, those while paused included."""
        self._close()
        self._open()
        return [self._counted, self._traversed]

    def _open(self) -> None:
        self._mode = FlopCounterMode(display=False)
        self._mode.__enter__()

    def _close(self) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            flops = self._mode.get_total_flops()
            self._traversed += flops
            self._counted += 0 if self._paused else flops
            self._mode = None
