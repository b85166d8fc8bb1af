"""Entry points of the group ``torch.backends``: torch calls each at the end of ``import torch``.

They stand outside the packages they switch on, since loading an entry point executes its package. Each looks at the
environment first and costs nothing when off. What goes wrong ends the program in one line and exit status 2: torch
would wrap an error in "Failed to load the backend extension" and a long traceback.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def npu_emulator() -> None:
    """Turns the emulated NPU on where NPU_EMULATOR=1.

    Raises:
        SystemExit: NPU_EMULATOR is neither 0 nor 1, or the emulated NPU cannot be had, and a script imports torch.
        ValueError, npu_emulator.EmulatorError: the same in an interactive session, and within
            ``npu_emulator.enable()``, which raises the error to its caller.
    """
    if os.environ.get("NPU_EMULATOR", "") in ("", "0"):
        return
    from npu_emulator import EmulatorError, enable
    from npu_emulator.activation import importing_torch

    try:
        if _switched_on("NPU_EMULATOR"):
            enable()
    except (EmulatorError, ValueError) as error:
        if importing_torch():
            raise
        _end("npu_emulator", error)


def npu_compat() -> None:
    """Redirects torch.cuda to the accelerator where NPU_COMPAT=1.

    Raises:
        SystemExit: NPU_COMPAT is neither 0 nor 1, or as npu_emulator(), and a script imports torch.
        ValueError: the same in an interactive session.
    """
    try:
        if not _switched_on("NPU_COMPAT"):
            return
    except ValueError as error:
        _end("npu_compat", error)
    if "npu_compat" in sys.modules:
        return  # it is what imports torch here, and redirects when it has
    npu_emulator()  # entry points are called in no particular order, and this one needs the device to be there
    from npu_compat.activation import activate_on_import

    activate_on_import()


def _switched_on(variable: str) -> bool:
    switch = os.environ.get(variable, "")
    if switch not in ("", "0", "1"):
        raise ValueError(f"{variable}={switch!r}: expected 0 or 1")
    return switch == "1"


def _end(package: str, error: Exception) -> NoReturn:
    if hasattr(sys, "ps1"):  # an interactive session, which an exit would end
        raise error
    print(f"{package}: {error}", file=sys.stderr)
    raise SystemExit(2) from None
