"""How a model is cut into units: the modules whose weights come and go together, around their forward.

A unit is an element of a list of blocks (an outermost nn.ModuleList, nn.Sequential or nn.ModuleDict), or else the
smallest module that has weights of its own. A model may name more units: ``vram_units = ("decoder.stages.*",)``, names
of submodules as patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from torch import nn

from diffsynth.core.loader.weights import Weight, own_tensors, weights_of

CONTAINERS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


@dataclass(eq=False)
class Unit:
    """Weights that are needed whenever one of `modules` runs.

    Attributes:
        modules: one, or several that share tied weights.
        overlaps: other units run while this one does.
    """

    name: str
    modules: tuple[nn.Module, ...]
    weights: tuple[Weight, ...]
    overlaps: bool


def cut_into_units(model: nn.Module) -> list[Unit]:
    """All weights of the model, each in exactly one unit; in the order in which they are registered."""
    names = {module: name or type(model).__name__ for name, module in model.named_modules()}
    owners = _owners(model)
    sharing: dict[tuple[nn.Module, ...], list[Weight]] = {}
    for weight in weights_of(model):
        modules = tuple(dict.fromkeys(owners[place.module] for place in weight.places))
        sharing.setdefault(modules, []).append(weight)
    units = []
    for modules, weights in sharing.items():
        within = {part for module in modules for part in module.modules()}.difference(modules)
        overlaps = len(modules) > 1 or not within.isdisjoint(module for others in sharing for module in others)
        units.append(Unit(" and ".join(names[module] for module in modules), modules, tuple(weights), overlaps))
    return units


def _owners(model: nn.Module) -> Mapping[nn.Module, nn.Module]:
    """For every module of the model, the one whose forward needs its weights."""
    patterns = getattr(model, "vram_units", ())
    owners: dict[nn.Module, nn.Module] = {}

    def walk(name: str, module: nn.Module, parent: nn.Module | None) -> None:
        if module in owners:
            return
        if any(fnmatch(name, pattern) for pattern in patterns) or _is_unit(module, parent):
            for part in module.modules():
                owners.setdefault(part, module)
            return
        owners[module] = module
        for child_name, child in module.named_children():
            walk(f"{name}.{child_name}" if name else child_name, child, module)

    walk("", model, None)
    return owners


def _is_unit(module: nn.Module, parent: nn.Module | None) -> bool:
    if isinstance(module, CONTAINERS) or parent is None:
        return False
    return isinstance(parent, CONTAINERS) or (
        bool(own_tensors(module)) and not any(isinstance(part, CONTAINERS) for part in module.modules())
    )
