"""The questions torch asks itself, which accelerator there is: cuda would be the answer, being available now."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch

from npu_compat import host_device, wrappers
from npu_compat.accelerators import Accelerator
from npu_compat.patcher import Attribute, Patch

_QUESTION = "_get_available_device_type"


def device_query_patches(accelerator: Accelerator) -> Iterator[Patch]:
    """``torch._utils._get_available_device_type`` in every module of torch that has imported it.

    On the CPU also ``torch.accelerator.current_accelerator``, which a torch built for CUDA would answer with cuda: the
    step of an optimizer then asks for its current stream.
    """
    raw = torch._utils._get_available_device_type
    answer = None if accelerator.name == "cpu" else accelerator.name

    def _get_available_device_type() -> str | None:
        return answer

    for name, module in list(sys.modules.items()):
        if name.startswith("torch.") and vars(module).get(_QUESTION) is raw:
            replaced = wrappers.like(_get_available_device_type, raw)
            yield Attribute(module, _QUESTION, replaced, f"{name}.{_QUESTION}")
    accelerators: Any = getattr(torch, "accelerator", None)  # from torch 2.6 on
    if accelerator.name == "cpu" and accelerators is not None:
        raw_current = accelerators.current_accelerator

        def current_accelerator(check_available: bool = False) -> None:
            return None

        replaced = wrappers.like(current_accelerator, raw_current)
        yield Attribute(accelerators, "current_accelerator", replaced, "torch.accelerator.current_accelerator")


def host_module_patches(accelerator: Accelerator) -> Iterator[Patch]:
    """On the CPU, what `torch.random.fork_rng` asks the module of its device for, which torch.cpu lacks."""
    if accelerator.name == "cpu":
        for name in ("get_rng_state", "set_rng_state"):
            if not hasattr(torch.cpu, name):
                yield Attribute(torch.cpu, name, getattr(host_device, name), f"torch.cpu.{name}")
