"""Units that stay on the device from their first forward on, as long as there is room for them."""

from __future__ import annotations

from concurrent.futures import Future

import torch

from diffsynth.core.device.npu_compatible_device import empty_cache, memory_info
from diffsynth.core.vram.memory import mark, total_bytes
from diffsynth.core.vram.origins import HeldCopy
from diffsynth.core.vram.policy import OnDisk, Placement
from diffsynth.core.vram.slots import Slots, streaming_bytes
from diffsynth.core.vram.unit_state import ManagedUnit, State

# Devices hand memory out in pieces of this size.
GRANULE = 2 << 20
GIB = 1 << 30


class Promoter:
    """Moves units from their onload to their preparing placement.

    Args:
        slots: what units compute from that do not stay.
        preparing: where they stay; with that on disk no unit moves.

    Attributes:
        vram_limit: GiB in use on the device, by whomever, that weights may bring it up to; None is all it has.
    """

    def __init__(self, slots: Slots, preparing: Placement | OnDisk, vram_limit: float | None) -> None:
        self.vram_limit = vram_limit
        self._slots = slots
        self._placement = slots.computation if isinstance(preparing, OnDisk) else preparing
        self._sizes = {unit: _rounded(total_bytes(unit.weights, self._placement.dtype)) for unit in slots.units}
        self._under_way: dict[ManagedUnit, tuple[HeldCopy, Future[None]]] = {}

    def start(self, unit: ManagedUnit) -> bool:
        """Starts moving the unit, if it is one to be moved and there is room; whether it is on its way now."""
        if unit in self._under_way:
            return True
        if unit.state is not State.ONLOAD or not unit.moves_to(State.PREPARING) or not self._has_room(unit):
            return False
        try:
            copy = unit.allocate(State.PREPARING)
        except torch.OutOfMemoryError:
            empty_cache(self._placement.device)
            return False
        after = mark(self._placement.device)
        self._under_way[unit] = copy, self._slots.carrier.start(unit.origin, copy.tensors, after)
        return True

    def finish(self, unit: ManagedUnit) -> None:
        """Waits for a unit on its way. Raises whatever kept it from arriving; it is as before then."""
        copy, filling = self._under_way[unit]
        filling.exception()  # after an interrupt of this wait it is still on its way
        del self._under_way[unit]
        filling.result()
        unit.arrive(State.PREPARING, copy)

    def cancel(self) -> None:
        """Waits for units on their way and leaves them where they were."""
        for _, filling in self._under_way.values():
            filling.exception()
        self._under_way.clear()

    def _has_room(self, unit: ManagedUnit) -> bool:
        """Whether the unit fits beside what is in use, and beside the slots for the units that do not fit."""
        free, total = memory_info(self._placement.device)
        room = (total if self.vram_limit is None else self.vram_limit * GIB) - (total - free)
        others = [
            each
            for each in self._sizes
            if each is not unit and each not in self._under_way and each.moves_to(State.PREPARING)
        ]
        size, computation = self._sizes[unit], self._slots.computation
        computes_in_place = self._placement == computation
        if computes_in_place and size + sum(self._sizes[each] for each in others) < room:
            return True
        streamed = others if computes_in_place else self._slots.units
        streaming = max(0, _rounded(streaming_bytes(streamed)) - self._slots.allocated)
        return size + (streaming if self._placement.device == computation.device else 0) < room


def _rounded(size: int) -> int:
    return -(-size // GRANULE) * GRANULE
