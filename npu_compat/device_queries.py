"""The question torch asks itself, which accelerator there is: cuda would be the answer, being available now."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

from npu_compat import wrappers
from npu_compat.accelerators import Accelerator
from npu_compat.patcher import Attribute, Patch

_QUESTION = "_get_available_device_type"


def device_query_patches(accelerator: Accelerator) -> Iterator[Patch]:
    """``torch._utils._get_available_device_type`` in every module of torch that has imported it."""
    raw = torch._utils._get_available_device_type
    answer = None if accelerator.name == "cpu" else accelerator.name

    def _get_available_device_type() -> str | None:
        return answer

    for name, module in list(sys.modules.items()):
        if name.startswith("torch.") and vars(module).get(_QUESTION) is raw:
            replaced = wrappers.like(_get_available_device_type, raw)
            yield Attribute(module, _QUESTION, replaced, f"{name}.{_QUESTION}")
