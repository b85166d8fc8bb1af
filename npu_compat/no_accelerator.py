"""Where there is no accelerator: torch stays as it is, but says what is missing instead of naming NVIDIA's driver."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import torch

from npu_compat.detection import Detection
from npu_compat.errors import NoAccelerator
from npu_compat.patcher import Attribute, Patch
from npu_compat.stand_ins import stand_in


def no_accelerator_patches(detection: Detection) -> Iterator[Patch]:
    """The calls that need a device raise NoAccelerator; ``torch.cuda.is_available()`` stays False."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        found = "; ".join(f"{name}: {reason}" for name, reason in detection.rejected.items())
        raise NoAccelerator(
            f"the program asks for a CUDA device, and no accelerator was found to take its place ({found}). "
            "Install the accelerator's package (torch_npu for Ascend), set NPU_COMPAT_FALLBACK=cpu to run on the CPU, "
            f"or run it on an emulated NPU: python -m npu_compat run --emulate {_program()}"
        )

    def set_device(device: Any) -> None:
        if not (isinstance(device, int) and device < 0):
            refuse()

    # Every CUDA call of Python and C++ passes through it before it touches a device.
    start = torch.cuda._lazy_init
    for name, module in list(sys.modules.items()):
        if name.startswith("torch.cuda") and getattr(module, "_lazy_init", None) is start:
            yield Attribute(module, "_lazy_init", refuse, f"{name}._lazy_init")
    yield Attribute(torch.cuda, "set_device", set_device, "torch.cuda.set_device")
    for owner in (torch.cuda.Stream, torch.cuda.Event, torch.cuda.CUDAGraph):
        yield Attribute(owner, "__new__", staticmethod(refuse), f"torch.cuda.{owner.__name__}")
    yield Attribute(torch, "Generator", _generator(refuse), "torch.Generator")


def _program() -> str:
    """The script that runs, as a shell takes it; a word for it where it is typed in, or a command's own."""
    started = sys.argv[0] if sys.argv else ""
    return shlex.quote(started) if started.endswith(".py") else "SCRIPT"


def _generator(refuse: Any) -> type:
    real = torch.Generator

    def make(*args: Any, **kwargs: Any) -> Any:
        asked = args[0] if args else kwargs.get("device", "cpu")
        return refuse() if torch.device(asked).type == "cuda" else real(*args, **kwargs)

    return stand_in(real, make)
