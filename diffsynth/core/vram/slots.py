"""The memory that weights compute from when they do not stay on the device: two buffers, used in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffsynth.core.vram.memory import allocate, mark, tensors_in
from diffsynth.core.vram.origins import Carrier
from diffsynth.core.vram.policy import Placement
from diffsynth.core.vram.unit_state import ManagedUnit

BUFFERS = 2


class Slot:
    """A buffer that holds one unit's weights at a time.

    Attributes:
        unit: whose weights it holds, or is being filled with.
        busy: the unit's forward is running.
    """

    def __init__(self, size: int, placement: Placement) -> None:
        self.size = size
        self.unit: ManagedUnit | None = None
        self.busy = False
        self._placement = placement
        self._buffer = allocate(size, placement.device)
        # The memory may have been used by work that is still queued.
        self._free_after = mark(placement.device)
        self._filling: Future[None] | None = None
        self._tensors: dict[ManagedUnit, list[Tensor]] = {}

    def fill(self, unit: ManagedUnit, carrier: Carrier) -> None:
        """Starts bringing the unit's weights in."""
        self.settle()
        self.unit = unit
        # A backward pass that saved the weights before must find out that they are gone.
        torch.autograd.graph.increment_version(self._buffer)
        if unit not in self._tensors:
            self._tensors[unit] = tensors_in(self._buffer, unit.weights, self._placement.dtype)
        self._filling = carrier.start(unit.origin, self._tensors[unit], self._free_after)

    def weights(self, unit: ManagedUnit) -> Sequence[Tensor]:
        """The unit's weights once they are there, as its modules hold them.

        Raises whatever kept them from coming; the slot is empty then.
        """
        if self._filling is not None:
            try:
                self._filling.result()
            except Exception:  # after an interrupt it is still on its way
                self.unit = self._filling = None
                raise
        return self._tensors[unit]

    def release(self) -> None:
        """The forward has been queued: what fills the buffer next waits for it."""
        self.busy = False
        self._free_after = mark(self._placement.device)

    def holds_memory_of(self, tensor: Tensor) -> bool:
        """Whether the tensor lies in this buffer."""
        return (
            tensor.device == self._buffer.device
            and tensor.layout == torch.strided
            and tensor.untyped_storage().data_ptr() == self._buffer.untyped_storage().data_ptr()
        )

    def settle(self) -> None:
        """Waits until nothing is on its way in; what went wrong with weights nobody asked for is no one's concern."""
        if self._filling is not None:
            self._filling.exception()


@dataclass(eq=False)
class Slots:
    """Two slots that all units of a model share, the one filled last at the end; memory of its own for a unit that fits
    in none.

    Attributes:
        computation: where the weights are needed, and in what type.
    """

    units: Sequence[ManagedUnit]
    computation: Placement
    carrier: Carrier
    _slots: list[Slot] = field(default_factory=list)

    @property
    def allocated(self) -> int:
        """Bytes that the slots take now."""
        return sum(slot.size for slot in self._slots)

    def fetch(self, unit: ManagedUnit, *, private: bool) -> Slot:
        """A busy slot that holds the unit's weights, or will.

        Args:
            private: memory of its own, not used again.
        """
        shared = not private and self._shares(unit)
        slot = (self._holding(unit) or self._fill_free_one(unit)) if shared else None
        if slot is None:
            slot = Slot(unit.computation_bytes, self.computation)
            slot.fill(unit, self.carrier)
        slot.busy = True
        return slot

    def prefetch(self, unit: ManagedUnit) -> None:
        """Starts bringing in a unit that will be needed next, if there is a slot for it."""
        if self._shares(unit) and self._holding(unit) is None:
            # Without room for it now, it comes when it is needed.
            with contextlib.suppress(torch.OutOfMemoryError):
                self._fill_free_one(unit)

    def free(self) -> None:
        """Gives the memory back, once nothing is on its way."""
        for slot in self._slots:
            slot.settle()
        self._slots = []

    def _shares(self, unit: ManagedUnit) -> bool:
        """Whether the unit comes into the slots that all share."""
        return not unit.overlaps and unit.computation_bytes <= slot_bytes(self._streamed())

    def _streamed(self) -> list[ManagedUnit]:
        """The units that do not stay on the device by now."""
        return [unit for unit in self.units if not unit.resident]

    def _holding(self, unit: ManagedUnit) -> Slot | None:
        return next((slot for slot in self._slots if slot.unit is unit), None)

    def _fill_free_one(self, unit: ManagedUnit) -> Slot | None:
        """Fills a slot that is not busy; None where both are."""
        slot = self._free_one()
        if slot is not None and slot.size < unit.computation_bytes:
            slot.settle()
            self._slots.remove(slot)
            slot = None  # so that the old memory is gone before there is new
            slot = self._new_slot()
        if slot is not None:
            self._slots.remove(slot)
            self._slots.append(slot)
            slot.fill(unit, self.carrier)
        return slot

    def _free_one(self) -> Slot | None:
        """A new slot if there can be one, else that whose weights were fetched the longest ago; None where both are
        busy."""
        free = next((slot for slot in self._slots if not slot.busy), None)
        if len(self._slots) < BUFFERS:
            try:
                return self._new_slot()
            except torch.OutOfMemoryError:
                if free is None:
                    raise
        return free

    def _new_slot(self) -> Slot:
        slot = Slot(slot_bytes(self._streamed()), self.computation)
        self._slots.append(slot)
        return slot


def slot_bytes(units: Sequence[ManagedUnit]) -> int:
    """Size of a slot for these units: the largest fits, unless it is alone in its size.

    A table of words that outweighs every block by far would otherwise have two slots of its size.
    """
    sizes = sorted((unit.computation_bytes for unit in units if not unit.overlaps), reverse=True)
    if len(sizes) > 1 and sizes[0] > 2 * sizes[1]:
        return sizes[1]
    return sizes[0] if sizes else 0


def streaming_bytes(units: Sequence[ManagedUnit]) -> int:
    """Memory that computing takes while these units come and go: the slots, and what does not come into them."""
    size = slot_bytes(units)
    alone = max((unit.computation_bytes for unit in units if not unit.overlaps), default=0)
    overlapping = sum(unit.computation_bytes for unit in units if unit.overlaps)
    return BUFFERS * size + (alone if alone > size else 0) + overlapping
