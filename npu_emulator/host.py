"""Is this a machine the emulator may run on?"""

from __future__ import annotations

import glob
import importlib.metadata
import platform
import sys

from npu_emulator.errors import UnsupportedHost

MACHINES = ("x86_64", "aarch64")
# The driver of an Ascend NPU makes one such node for each device.
REAL_NPU = "/dev/davinci[0-9]*"
# What csrc/torch_compat.h bridges, and the tests have run on. A newer torch is tried all the same.
OLDEST_TORCH = (2, 7)
NEWEST_TESTED_TORCH = (2, 15)
NO_TORCH = f"torch is not installed for {sys.executable}: {sys.executable} -m pip install torch"


def check_host() -> None:
    """Raises UnsupportedHost off Linux, on another processor, with an older torch, and beside a real NPU."""
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in MACHINES:
        raise UnsupportedHost(
            f"npu_emulator runs on Linux, on {' or '.join(MACHINES)}; this is {system} on {machine}. "
            "Use a Linux machine, a container or a virtual machine"
        )
    _check_torch()
    real = sorted(glob.glob(REAL_NPU))
    if real:
        raise UnsupportedHost(
            f"npu_emulator never runs beside a real NPU, and there is one here ({real[0]}): "
            "use it through torch_npu, or run this where there is none"
        )
    loaded = sys.modules.get("torch_npu")
    if loaded is not None and not getattr(loaded, "__emulated__", False):
        raise UnsupportedHost(
            f"the real torch_npu is already imported (from {getattr(loaded, '__file__', 'unknown')}): "
            "the emulated NPU takes its place and cannot be enabled after it"
        )


def _check_torch() -> None:
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:  # importing it says so
        return
    if minor_release(version) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise UnsupportedHost(
            f"npu_emulator is written for torch {oldest} and later, and this is torch {version}: "
            f"pip install 'torch>={oldest}'"
        )


def minor_release(version: str) -> tuple[int, int]:
    """(2, 13) of ``2.13.0+cpu``."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
