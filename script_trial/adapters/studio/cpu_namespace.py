"""What works on a GPU and lacks on the CPU: names in torch.cpu, and the number of the device for safetensors."""

from __future__ import annotations

import functools
import os
from typing import Any

from script_trial.adapters.studio.library import studio


def complete_torch_cpu() -> None:
    """Gives torch.cpu `mem_get_info` and `empty_cache`, unless it has them. The first is of the host's memory.

    DiffSynth-Studio asks for them as of torch.cuda, once its memory management is active.
    """
    import torch

    cpu: Any = torch.cpu
    if not hasattr(cpu, "mem_get_info"):
        cpu.mem_get_info = _mem_get_info
    if not hasattr(cpu, "empty_cache"):
        cpu.empty_cache = _empty_cache


def read_files_for_numbered_cpus() -> None:
    """Files of weights are read for "cpu:0" as for "cpu", which is all that safetensors knows. "cuda:0" it knows."""
    for module in (studio("core.loader.file"), studio("core.vram.disk_map")):
        module.safe_open = _for_any_cpu(module.safe_open)


def _for_any_cpu(safe_open: Any) -> Any:
    @functools.wraps(safe_open, updated=())
    def opened(file: Any, framework: str, device: Any = "cpu", **kwargs: Any) -> Any:
        return safe_open(file, framework=framework, device="cpu" if str(device).startswith("cpu") else device, **kwargs)

    return opened


def _mem_get_info(device: object = None) -> tuple[int, int]:
    """(free, total) bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


def _empty_cache() -> None:
    """The host keeps none."""
