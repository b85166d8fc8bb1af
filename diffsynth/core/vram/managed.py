"""A model whose weights come and go: its two calls, what happens around the forward of each of its units, and refusals
of what cannot work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from diffsynth.core.device.npu_compatible_device import empty_cache
from diffsynth.core.loader.weight_source import WeightSource
from diffsynth.core.loader.weights import keys_in
from diffsynth.core.progress import progress_bar
from diffsynth.core.vram.memory import mark
from diffsynth.core.vram.origins import BytesMoved, Carrier, Files
from diffsynth.core.vram.pinning import Pinning
from diffsynth.core.vram.policy import VramPolicy
from diffsynth.core.vram.promotion import Promoter
from diffsynth.core.vram.slots import Slot, Slots
from diffsynth.core.vram.staging import Staging
from diffsynth.core.vram.unit_state import ManagedUnit, State
from diffsynth.core.vram.units import cut_into_units


class VramError(RuntimeError):
    """Something that weights under memory control cannot do; the message says what to do instead."""


class ForwardOrder:
    """The order of a model's units, which forms a circle: after the last comes the first of the next step."""

    def __init__(self, units: Sequence[ManagedUnit]) -> None:
        self._next = dict(zip(units, [*units[1:], *units[:1]], strict=True))
        self._running: ManagedUnit | None = None

    def runs(self, unit: ManagedUnit) -> None:
        """Learns that this unit's forward begins now."""
        # One called twice in a row says nothing about which comes next.
        if self._running not in (None, unit):
            self._next[self._running] = unit
        self._running = unit

    def after(self, unit: ManagedUnit) -> Iterator[ManagedUnit]:
        """The units that will run after this one, the next first, until one comes around again."""
        seen = {unit}
        coming = self._next[unit]
        while coming not in seen:
            yield coming
            seen.add(coming)
            coming = self._next[coming]


class ManagedWeights:
    """Puts a model's memory under control; its weights are in the offload placement first.

    Args:
        model: on the meta device, in eval mode.
        source: its weights; has to stay readable where something is offloaded to disk.
        key_map: the source's key for each key of the model's state dict.
        policy: where the weights are, when.
        vram_limit: GiB in use on the device, by whomever, up to which weights move to the preparing placement. None
            is all the device has; leave room for activations.

    Raises:
        CheckpointError: weights are missing in the source, too many, or of another shape.
        ValueError: the model has a buffer that is not saved, and is on the meta device.

    Attributes:
        state: OFFLOAD or ONLOAD, of the model as a whole.
        bytes_moved: counts what was moved since the model was loaded.
    """

    state: State

    def __init__(
        self,
        model: nn.Module,
        source: WeightSource,
        key_map: Mapping[str, str],
        policy: VramPolicy,
        vram_limit: float | None = None,
    ) -> None:
        units = cut_into_units(model)
        keys = keys_in(source, model, [weight for unit in units for weight in unit.weights], key_map)
        computation = policy.computation
        self.bytes_moved = BytesMoved()
        self._model_name = type(model).__name__
        self._device = computation.device
        self._carrier = Carrier(self._device)
        self._staging = Staging(self._device)
        files = [Files(source, [keys[one] for one in unit.weights], self._staging, self.bytes_moved) for unit in units]
        self._units = [ManagedUnit(unit, policy, own) for unit, own in zip(units, files, strict=True)]
        self._order = ForwardOrder([unit for unit in self._units if not unit.overlaps])
        self._slots = Slots(self._units, computation, self._carrier)
        self._promoter = Promoter(self._slots, policy.preparing, vram_limit)
        self._pinning = Pinning(self._units, self._device)
        self._computing: dict[ManagedUnit, Slot] = {}
        self.offload()
        Immovable(model)
        if any(placement != computation for placement in (policy.offload, policy.onload, policy.preparing)):
            for managed in self._units:
                UnitHooks(self, managed)

    @property
    def vram_limit(self) -> float | None:
        """GiB in use on the device up to which weights move there to stay; None is all the device has."""
        return self._promoter.vram_limit

    @vram_limit.setter
    def vram_limit(self, limit: float | None) -> None:
        self._promoter.vram_limit = limit

    def onload(self) -> None:
        """Makes the model ready: its weights move to the onload placement. Nothing happens if they are there.

        Weights that have to be read from disk, and are likely to move on from the host to the device at their forward,
        wait for that: they are read then, straight to the device, or to the host where there is no room.

        Raises whatever keeps them from moving; they are offloaded again then.
        """
        self._end_forwards()
        if self.state is State.ONLOAD:
            return
        try:
            self._move_all(State.ONLOAD)
        except BaseException:
            self.offload()
            raise
        self.state = State.ONLOAD

    def offload(self) -> None:
        """Sends the weights back to the offload placement, and gives all other memory back."""
        self._promoter.cancel()
        self._end_forwards()
        self._slots.free()
        self._pinning.stop()
        self._move_all(State.OFFLOAD)
        self._carrier.stop()
        self._staging.free()
        self.state = State.OFFLOAD
        empty_cache(self._device)

    def enter(self, unit: ManagedUnit, inputs: object) -> None:
        """Before a forward of the unit: puts its weights where it computes, and starts bringing in the next unit's."""
        unit.depth += 1
        if unit.depth > 1:
            return
        try:
            self._bring(unit, inputs)
        except BaseException:
            self._end_forward(unit)
            raise

    def leave(self, unit: ManagedUnit, output: Any) -> Any:
        """After a forward of the unit, or when it failed: its modules are as before. Returns the output."""
        if unit.depth == 1:
            if unit in self._computing:
                output = copied_out(output, self._computing[unit])
            self._end_forward(unit)
        elif unit.depth:
            unit.depth -= 1
        return output

    def _bring(self, unit: ManagedUnit, inputs: object) -> None:
        if not unit.overlaps:
            self._order.runs(unit)
        if self._promoter.start(unit):
            self._promoter.finish(unit)
        if not unit.resident:
            private = wants_gradient(unit, inputs)
            if private and unit.trains:
                raise VramError(
                    f"{unit.name} of {self._model_name} wants gradients for weights that come and go: call "
                    "requires_grad_(False) on it, or load the model without a vram_config to train it"
                )
            unit.hold_from_now_on()
            self._pinning.sends(unit)
            slot = self._computing[unit] = self._slots.fetch(unit, private=private)
            weights = slot.weights(unit)
            unit.held()
            unit.attach(weights)
        if not unit.overlaps:
            self._prefetch_after(unit)

    def _prefetch_after(self, unit: ManagedUnit) -> None:
        """Starts moving the next unit that has to move."""
        coming = next((each for each in self._order.after(unit) if not each.resident), None)
        if coming is not None and not self._promoter.start(coming):
            coming.hold_from_now_on()
            self._slots.prefetch(coming)

    def _end_forward(self, unit: ManagedUnit) -> None:
        unit.depth = 0
        slot = self._computing.pop(unit, None)
        if slot is not None:
            unit.rest()
            slot.release()

    def _end_forwards(self) -> None:
        """Ends those that an interrupt has cut off."""
        for unit in self._units:
            if unit.depth:
                self._end_forward(unit)

    def _move_all(self, state: State) -> None:
        """Brings every unit into that state, one after another."""
        moving = [unit for unit in self._units if unit.moves_to(state) and not unit.waits(state)]
        for unit in progress_bar(moving, desc=self._model_name, leave=False):
            self._move(unit, state)
        for unit in set(self._units).difference(moving):
            unit.arrive(state, None)

    def _move(self, unit: ManagedUnit, state: State) -> None:
        copy = unit.allocate(state)
        self._carrier.start(unit.origin, copy.tensors, mark(copy.placement.device)).result()
        unit.arrive(state, copy)


class UnitHooks:
    """The two hooks of a unit's modules. They are called from the module, so a compiled `forward` leaves them out."""

    def __init__(self, weights: ManagedWeights, unit: ManagedUnit) -> None:
        self._weights = weights
        self._unit = unit
        for module in unit.modules:
            module.register_forward_pre_hook(self.before, prepend=True, with_kwargs=True)
            module.register_forward_hook(self.after, always_call=True)

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._weights.enter(self._unit, (args, kwargs))

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return self._weights.leave(self._unit, output)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Copying and pickling a model meets its hooks."""
        raise VramError(
            "a model under a vram_config cannot be copied or pickled: its weights are not all in it. "
            "Load it once more instead, or without the vram_config"
        )


class Immovable:
    """Takes the place of ``Module._apply``, through which ``to()``, ``cuda()``, ``half()`` and their like all go, and
    stands before ``load_state_dict``."""

    def __init__(self, model: nn.Module) -> None:
        self._name = type(model).__name__
        for module in model.modules():
            module._apply = self  # type: ignore[method-assign]
            module.register_load_state_dict_pre_hook(self.refuse_loading)  # type: ignore[no-untyped-call]

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        raise VramError(
            f"the weights of {self._name} are placed by its vram_config, so the module cannot be moved or converted: "
            "leave the call out, or load the model without a vram_config"
        )

    def refuse_loading(self, *args: object) -> NoReturn:
        """Values copied into the module would reach some of its weights' copies, or none."""
        raise VramError(
            f"the weights of {self._name} are read as its vram_config says, so load_state_dict cannot replace them: "
            "name the file with ModelConfig(path=...), or load the model without a vram_config"
        )

    __reduce_ex__ = UnitHooks.__reduce_ex__


def wants_gradient(unit: ManagedUnit, inputs: object) -> bool:
    """Whether a backward pass may come back to the unit's weights."""
    if not torch.is_grad_enabled():
        return False
    if any(parameter.requires_grad for module in unit.modules for parameter in module.parameters()):
        return True
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tree_leaves(inputs))


def copied_out(output: Any, slot: Slot) -> Any:
    """The output with tensors of its own where it has tensors that lie among the weights, which will go."""
    if not any(isinstance(leaf, Tensor) and slot.holds_memory_of(leaf) for leaf in tree_leaves(output)):
        return output
    return tree_map_only(Tensor, lambda leaf: leaf.clone() if slot.holds_memory_of(leaf) else leaf, output)
