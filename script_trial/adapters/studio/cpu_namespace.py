"""What DiffSynth-Studio asks of torch.cpu as of torch.cuda, once its memory management is active, and torch lacks."""

from __future__ import annotations

import os
from typing import Any


def complete_torch_cpu() -> None:
    """Gives torch.cpu `mem_get_info` and `empty_cache`, unless it has them. The first is of the host's memory."""
    import torch

    cpu: Any = torch.cpu
    if not hasattr(cpu, "mem_get_info"):
        cpu.mem_get_info = _mem_get_info
    if not hasattr(cpu, "empty_cache"):
        cpu.empty_cache = _empty_cache


def _mem_get_info(device: object = None) -> tuple[int, int]:
    """(free, total) bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


def _empty_cache() -> None:
    """The host keeps none."""
