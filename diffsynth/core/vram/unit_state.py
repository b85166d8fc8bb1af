"""One unit's weights: which copies of them there are, and what its modules hold between two forwards."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn

from diffsynth.core.vram.memory import allocate, is_host, tensors_in, total_bytes
from diffsynth.core.vram.origins import BytesMoved, Disk, HeldCopy, Origin
from diffsynth.core.vram.policy import OnDisk, Placement, VramPolicy
from diffsynth.core.vram.staging import Staging
from diffsynth.core.vram.units import Unit, Weight


class State(IntEnum):
    """How near to the computation weights are held."""

    OFFLOAD = 0
    ONLOAD = 1
    PREPARING = 2


class ManagedUnit:
    """A unit and its copies in memory: at most one on the host and one on each device.

    A copy made for a higher state is dropped on the way down. The copy of the offload state stays while the weights
    are on another device, so that nothing has to travel back.

    Attributes:
        state: which placement the weights are held in.
        depth: forwards of its modules that are running, one within another.
        computation_bytes: what its weights take while they compute.
    """

    def __init__(self, unit: Unit, policy: VramPolicy, disk: Disk, staging: Staging, moved: BytesMoved) -> None:
        self.name = unit.name
        self.modules = unit.modules
        self.weights = unit.weights
        self.overlaps = unit.overlaps
        self.state = State.OFFLOAD
        self.depth = 0
        self._placements = (policy.offload, policy.onload, policy.preparing)
        self._computation = policy.computation
        self.computation_bytes = total_bytes(unit.weights, policy.computation.dtype)
        self._disk = disk
        self._staging = staging
        self._moved = moved
        self._passes_host = _passes_host(policy)
        self._master: HeldCopy | None = None
        self._current: HeldCopy | None = None
        self._coming: HeldCopy | None = None
        self._resting: list[Tensor] = []
        self._rest_on(None)

    @property
    def origin(self) -> Origin:
        """Where the weights can be read now."""
        return self._current or self._coming or self._disk

    @property
    def host_copy(self) -> HeldCopy | None:
        """The weights in host memory, where they wait for every forward; None where they do not."""
        current = self._current
        return current if current is not None and current.filled and is_host(current.placement.device) else None

    @property
    def resident(self) -> bool:
        """Whether the weights can compute where they are."""
        return self._current is not None and self._current.placement == self._computation

    @property
    def trains(self) -> bool:
        """Whether some weight wants a gradient."""
        return any(tensor.requires_grad for tensor in self._resting)

    def moves_to(self, state: State) -> bool:
        """Whether going to that state takes a copy that is not there."""
        placement = self._placements[state]
        if isinstance(placement, OnDisk) or (state is State.OFFLOAD and self._master is not None):
            return False
        return self._current is None or self._current.placement != placement

    def allocate(self, state: State, first: Origin | None = None) -> HeldCopy:
        """Memory for the copy of that state, which is not on disk; `first` as `HeldCopy` takes it."""
        placement = self._placements[state]
        assert isinstance(placement, Placement)
        memory = allocate(total_bytes(self.weights, placement.dtype), placement.device)
        return self._copy(placement, tensors_in(memory, self.weights, placement.dtype), first=first)

    def waits(self, state: State) -> bool:
        """Whether nothing is read for that state before the unit's forward, which is likely to want it elsewhere."""
        return state is State.ONLOAD and self._passes_host and self._current is None

    def hold_from_now_on(self) -> None:
        """The next reading leaves a copy in the onload placement, if the unit has waited for its forward with it.

        To be followed by `held`, once the weights have been read.
        """
        if self.state is State.ONLOAD and self.waits(State.ONLOAD) and self._coming is None:
            self._coming = self.allocate(State.ONLOAD, first=self._disk)

    def held(self) -> None:
        """Takes the copy that has been left, if there is one."""
        if self._coming is not None and self._coming.filled:
            self.arrive(self.state, self._coming)

    def replace_host_copy(self, copy: HeldCopy) -> None:
        """The same weights in other host memory."""
        if self._master is self._current:
            self._master = copy
        self._current = copy
        self._rest_on(copy)

    def pinned_copy(self, tensors: Sequence[Tensor]) -> HeldCopy:
        """A copy like that on the host in pinned memory, which is still to be filled."""
        assert self._current is not None
        return self._copy(self._current.placement, tensors, pinned=True)

    def _copy(self, placement: Placement, tensors: Sequence[Tensor], **how: Any) -> HeldCopy:
        return HeldCopy(self.weights, placement, tensors, staging=self._staging, moved=self._moved, **how)

    def arrive(self, state: State, copy: HeldCopy | None) -> None:
        """The unit is in that state from now on.

        Args:
            copy: what was allocated and has been filled for it, or None where nothing had to move.
        """
        if state is State.OFFLOAD:
            self._master = self._current = copy or self._master
        elif copy is not None:
            if self._master is not None and self._master.placement.device == copy.placement.device:
                self._master = None
            self._current = copy
        self._coming = None
        self.state = state
        self._rest_on(self._current)

    def attach(self, attributes: Sequence[Tensor]) -> None:
        """Puts tensors where the modules look for their weights."""
        for weight, tensor in zip(self.weights, attributes, strict=True):
            for place in weight.places:
                setattr(place.module, place.name, tensor)

    def rest(self) -> None:
        """Puts back what the modules hold between two forwards: the copy in memory, else tensors without memory."""
        self.attach(self._resting)

    def _rest_on(self, copy: HeldCopy | None) -> None:
        tensors: Sequence[Tensor]
        if copy is None:
            dtype = self._computation.dtype
            tensors = [torch.empty(w.shape, dtype=w.dtype_in(dtype), device="meta") for w in self.weights]
        else:
            tensors = copy.tensors
        self._resting = as_attributes(self.weights, tensors)
        self.rest()


def _passes_host(policy: VramPolicy) -> bool:
    """Whether weights stop on the host on their way from disk to a device, as they are on both: a stop to leave out."""
    offload, onload, preparing = policy.offload, policy.onload, policy.preparing
    return (
        isinstance(offload, OnDisk)
        and isinstance(onload, Placement)
        and isinstance(preparing, Placement)
        and is_host(onload.device)
        and not is_host(preparing.device)
        and onload.dtype == preparing.dtype
    )


def as_attributes(weights: Sequence[Weight], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Parameters without gradient over the same memory; buffers as they are."""
    with torch.inference_mode(False):
        return [
            tensor if weight.is_buffer else nn.Parameter(tensor, requires_grad=False)
            for weight, tensor in zip(weights, tensors, strict=True)
        ]
