"""Pinned memory of their own for weights that are sent from the host again and again.

A device fetches from it without the host's help, but page-locking takes the system longer than sending the same bytes
several times. So it is done for what has been sent a few times already, in few large pieces, by a thread, one piece
after another: the next is made when all of the last is in use, so that no more than one piece is held twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from diffsynth.core.vram.memory import HOST, allocate, has_streams, tensors_in, total_bytes
from diffsynth.core.vram.origins import HeldCopy
from diffsynth.core.vram.unit_state import ManagedUnit

# A unit sent this often from the host will be sent again: encoding a prompt and its negative takes two.
OFTEN = 3
# Pieces of one model, beside the ring of buffers.
MOST_PIECES = 7


class Pinning:
    """Counts how often units are sent, and moves what is sent often to pinned memory.

    Args:
        units: all units of the model.
        device: where they compute; one without streams fetches nothing by itself.
    """

    def __init__(self, units: Sequence[ManagedUnit], device: torch.device) -> None:
        self._units = units
        self._sent: dict[ManagedUnit, int] = {}
        self._making: Future[dict[ManagedUnit, HeldCopy]] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._in_vain = not has_streams(device)

    def sends(self, unit: ManagedUnit) -> None:
        """The unit's forward is about to begin, and its weights have to be sent to where it computes."""
        if unit.host_copy is None or self._in_vain:
            return
        self._adopt(unit)
        self._sent[unit] = self._sent.get(unit, 0) + 1
        if self._making is None and self._sent[unit] > OFTEN and not unit.host_copy.pinned:
            self._make_a_piece()

    def stop(self) -> None:
        """Waits for what is being made, and forgets what was sent."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        self._thread = self._making = None
        self._sent = {}

    def _adopt(self, unit: ManagedUnit) -> None:
        """Gives the unit its pinned copy, if that is there."""
        if self._making is None or not self._making.done():
            return
        if self._making.exception() is not None:
            self._making, self._in_vain = None, True
            return
        copies = self._making.result()
        if unit in copies:
            unit.replace_host_copy(copies.pop(unit))
        if not any(each.host_copy for each in copies):  # others have gone to the device meanwhile
            self._making = None

    def _make_a_piece(self) -> None:
        """Starts making one for as many units as it holds."""
        held = {unit: copy for unit in self._units if (copy := unit.host_copy) is not None}
        sizes = {unit: total_bytes(unit.weights, copy.placement.dtype) for unit, copy in held.items()}
        often = {unit: copy for unit, copy in held.items() if self._sent.get(unit, 0) >= OFTEN}
        often_bytes = sum(sizes[unit] for unit in often)
        if 2 * often_bytes < sum(sizes.values()):
            return  # one that runs several times in a forward does not speak for the others
        left = {unit: sizes[unit] for unit, copy in often.items() if not copy.pinned}
        pieces = {copy.tensors[0].untyped_storage().data_ptr() for copy in held.values() if copy.pinned}
        if len(pieces) >= MOST_PIECES:
            return
        if len(pieces) == MOST_PIECES - 1:
            share = list(left)
        else:
            room = min(power_of_two_below(often_bytes // 3), power_of_two_below(sum(left.values())))
            share = fitting(left, max(room, *left.values()))
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="weights-pinning")
        self._making = self._thread.submit(_pinned, {unit: often[unit] for unit in share}, sizes)


def fitting(sizes: Mapping[ManagedUnit, int], room: int) -> list[ManagedUnit]:
    """The units that fit into `room` bytes, the first that do."""
    found = []
    for unit, size in sizes.items():
        if size <= room:
            found.append(unit)
            room -= size
    return found


@torch.no_grad()
def _pinned(copies: Mapping[ManagedUnit, HeldCopy], sizes: Mapping[ManagedUnit, int]) -> dict[ManagedUnit, HeldCopy]:
    """The same weights, one unit after another in a single piece of pinned memory."""
    memory = allocate(sum(sizes[unit] for unit in copies), HOST, pinned=True)
    made, start = {}, 0
    for unit, held in copies.items():
        tensors = tensors_in(memory[start : start + sizes[unit]], unit.weights, held.placement.dtype)
        for values, out in zip(held.tensors, tensors, strict=True):
            out.copy_(values)
        made[unit] = unit.pinned_copy(tensors)
        start += sizes[unit]
    return made


def power_of_two_below(size: int) -> int:
    """The largest power of two that is not above `size`: pinned memory is handed out in such sizes."""
    return 1 << (max(size, 1).bit_length() - 1)
