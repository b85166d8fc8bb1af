"""All patches for what was detected, in the order in which they are applied."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._device import _device_constructors

from npu_compat import compiler, host_device, libraries
from npu_compat.accelerators import Accelerator
from npu_compat.autocast_state import autocast_patches
from npu_compat.checkpoints import checkpoint_patches
from npu_compat.cuda_namespace import CudaNamespace
from npu_compat.data_parallel import data_parallel_patches
from npu_compat.detection import Detection
from npu_compat.device_queries import device_query_patches, host_module_patches
from npu_compat.late_imports import LateImports
from npu_compat.no_accelerator import no_accelerator_patches
from npu_compat.patcher import Attribute, Patch
from npu_compat.process_groups import process_group_patches
from npu_compat.surface import find, late_modules, module_patches, surface_patches, unknown_names
from npu_compat.torchscript import builtin_patches
from npu_compat.translation import Translation


@dataclass
class Plan:
    """Patches that are ready to be applied, and what they could not cover."""

    patches: list[Patch] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    quiet: list[str] = field(default_factory=list)
    replaced: compiler.Pairs = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def make_plan(detection: Detection, translation: Translation | None, late: Callable[[str], None]) -> Plan:
    """The patches for ``detection``; none on real CUDA. Nothing is changed yet.

    ``late`` is called with the name of a module of torch that is imported while the patches are in force.
    """
    if detection.kind == "none":
        return Plan(list(no_accelerator_patches(detection)))
    if translation is None:
        return Plan()
    # It keeps the set of factories that `with torch.device(...)` acts on: made now, it holds torch's own functions.
    _device_constructors()
    accelerator = translation.accelerator
    namespace = CudaNamespace(translation, host_device if detection.kind == "cpu" else torch)
    patches = [*surface_patches(translation), *autocast_patches(translation), *checkpoint_patches(translation)]
    patches += builtin_patches(patches)
    patches += namespace.patches()
    patches += process_group_patches(accelerator)
    patches += data_parallel_patches(accelerator)
    patches += device_query_patches(accelerator)
    patches += host_module_patches(accelerator)
    patches += _elsewhere(accelerator)
    patches.append(libraries.raw_stream_patch(accelerator))
    for module in sorted(libraries.MODULES):
        patches += libraries.library_patches(module, accelerator)
    replaced = compiler.replaced_functions(patches)
    for module in sorted(compiler.MODULES):
        patches += compiler.compiler_patches(module, replaced)
    waiting = (late_modules() | compiler.MODULES | libraries.MODULES) - sys.modules.keys()
    patches.append(LateImports(waiting, late))
    return Plan(patches, namespace.missing, namespace.quiet, replaced, list(unknown_names()))


def late_patches(module: str, translation: Translation, plan: Plan) -> list[Patch]:
    """The patches of a module that has been imported since ``plan`` was applied."""
    return [
        *module_patches(module, translation),
        *compiler.compiler_patches(module, plan.replaced),
        *libraries.library_patches(module, translation.accelerator),
    ]


def _elsewhere(accelerator: Accelerator) -> Iterator[Patch]:
    for name, path in accelerator.elsewhere.items():
        there: Any = find(f"torch.{path}")
        here = find(f"torch.{name}")
        if here is not None and there is not None and not name.startswith("distributed."):
            yield Attribute(*here, getattr(*there), f"torch.{name}")
