"""One unit's weights: which copies of them there are, and what its modules hold between two forwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum

import torch
from torch import Tensor

from diffsynth.core.vram.memory import allocate, is_host, tensors_in, total_bytes
from diffsynth.core.vram.origins import Files, HeldCopy, Origin
from diffsynth.core.vram.policy import OnDisk, Placement, VramPolicy
from diffsynth.core.vram.units import Unit


class State(IntEnum):
    """How near to the computation weights are held."""

    OFFLOAD = 0
    ONLOAD = 1
    PREPARING = 2


class ManagedUnit(Unit):
    """A unit with its copies in memory: at most one on the host and one on each device.

    A copy made for a higher state is dropped on the way down. The copy of the offload state stays while the weights
    are on another device, so that nothing has to travel back.

    Attributes:
        state: which placement the weights are held in.
        depth: forwards of its modules that are running, one within another.
        computation_bytes: what its weights take while they compute.
    """

    def __init__(self, unit: Unit, policy: VramPolicy, files: Files) -> None:
        super().__init__(unit.name, unit.modules, unit.weights, unit.overlaps)
        self.state = State.OFFLOAD
        self.depth = 0
        self.computation_bytes = total_bytes(unit.weights, policy.computation.dtype)
        self._policy = policy
        self._placements = (policy.offload, policy.onload, policy.preparing)
        self._files = files
        self._master: HeldCopy | None = None
        self._current: HeldCopy | None = None
        self._coming: HeldCopy | None = None
        with torch.inference_mode(False), torch.device("meta"):
            self._without_memory = [
                weight.over(torch.empty(weight.shape, dtype=weight.dtype_in(policy.computation.dtype)))
                for weight in unit.weights
            ]

    @property
    def origin(self) -> Origin:
        """Where the weights can be read now."""
        return self._current or self._coming or self._files

    @property
    def host_copy(self) -> HeldCopy | None:
        """The weights in host memory, where they wait for every forward; None where they do not."""
        current = self._current
        return current if current is not None and current.first is None and is_host(current.placement.device) else None

    @property
    def resident(self) -> bool:
        """Whether the weights can compute where they are."""
        return self._current is not None and self._current.placement == self._policy.computation

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

    def allocate(self, state: State, first: Files | None = None) -> HeldCopy:
        """Memory for the copy of that state, which is not on disk; `first` as `HeldCopy` takes it."""
        placement = self._placements[state]
        assert isinstance(placement, Placement)
        memory = allocate(total_bytes(self.weights, placement.dtype), placement.device)
        tensors = tensors_in(memory, self.weights, placement.dtype)
        return HeldCopy(placement, tensors, self._files.staging, self._files.moved, first=first)

    def waits(self, state: State) -> bool:
        """Whether nothing is read for that state before the unit's forward, which is likely to want it elsewhere."""
        return state is State.ONLOAD and self._policy.passes_host and self._current is None

    def hold_from_now_on(self) -> None:
        """The next reading leaves a copy in the onload placement, if the unit has waited for its forward with it.

        To be followed by `held`, once the weights have been read.
        """
        if self.state is State.ONLOAD and self.waits(State.ONLOAD) and self._coming is None:
            self._coming = self.allocate(State.ONLOAD, first=self._files)

    def held(self) -> None:
        """Takes the copy that has been left, if there is one."""
        if self._coming is not None and self._coming.first is None:
            self.arrive(self.state, self._coming)

    def replace_host_copy(self, copy: HeldCopy) -> None:
        """The same weights in other host memory."""
        if self._master is self._current:
            self._master = copy
        self._current = copy
        self.rest()

    def pinned_copy(self, tensors: Sequence[Tensor]) -> HeldCopy:
        """A copy like that on the host in pinned memory, which is still to be filled."""
        assert self._current is not None
        return replace(self._current, tensors=tensors, pinned=True)

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
        self.rest()

    def attach(self, tensors: Sequence[Tensor]) -> None:
        """Puts tensors where the modules look for their weights."""
        for weight, tensor in zip(self.weights, tensors, strict=True):
            weight.put(tensor)

    def rest(self) -> None:
        """Puts back what the modules hold between two forwards: the copy in memory, else tensors without memory."""
        self.attach(self._resting)

    @property
    def _resting(self) -> Sequence[Tensor]:
        return self._without_memory if self._current is None else self._current.tensors
