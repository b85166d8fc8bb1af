"""What is hung on a model under memory control: calls around its units' forwards, and refusals of what cannot work."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from diffsynth.core.vram.slots import Slot
from diffsynth.core.vram.unit_state import ManagedUnit


class VramError(RuntimeError):
    """Something that weights under memory control cannot do; the message says what to do instead."""


class Weights(Protocol):
    """What the hooks call."""

    def enter(self, unit: ManagedUnit, inputs: object) -> None:
        """A module of the unit is about to run."""

    def leave(self, unit: ManagedUnit, output: Any) -> Any:
        """It has run, or failed; returns the output to pass on."""


class UnitHooks:
    """The two hooks of a unit's modules. They are called from the module, so a compiled `forward` leaves them out."""

    def __init__(self, weights: Weights, unit: ManagedUnit) -> None:
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
