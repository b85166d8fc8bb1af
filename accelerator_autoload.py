"""Entry points of the group ``torch.backends``: torch calls each at the end of ``import torch``.

They stand outside the packages they switch on, since loading an entry point executes its package. Each looks at the
environment first and costs nothing when off.
"""

from __future__ import annotations

import os
import sys


def npu_emulator() -> None:
    """Turns the emulated NPU on where NPU_EMULATOR=1.

    Raises:
        ValueError: NPU_EMULATOR is neither 0 nor 1.
    """
    switch = os.environ.get("NPU_EMULATOR", "")
    if switch in ("", "0"):
        return
    if switch != "1":
        raise ValueError(f"NPU_EMULATOR={switch!r}: expected 0 or 1")
    from npu_emulator import enable

    enable()


def npu_compat() -> None:
    """Redirects torch.cuda to the accelerator where NPU_COMPAT=1.

    Raises:
        ValueError: NPU_COMPAT is neither 0 nor 1.
    """
    switch = os.environ.get("NPU_COMPAT", "")
    if switch in ("", "0"):
        return
    if switch != "1":
        raise ValueError(f"NPU_COMPAT={switch!r}: expected 0 or 1")
    if "npu_compat" in sys.modules:
        return  # it is what imports torch here, and redirects when it has
    npu_emulator()  # entry points are called in no particular order, and this one needs the device to be there
    from npu_compat.activation import activate_on_import

    activate_on_import()
