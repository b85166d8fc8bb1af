"""The threads that torch's autograd engine has for devices: they have let go of everything before Python ends."""

from __future__ import annotations

import atexit
import contextlib
import os

import torch

from npu_emulator import npu


def install() -> None:
    """Has their work finished when this process ends.

    A backward pass has returned before its thread lets go of it, and of an object of Python that belongs to it. Where
    Python ends in between, that aborts the process (torch 2.13 and 2.14 with Python 3.11): on the host's memory, where
    nothing takes time, one program in three or four that ends with its backward pass.
    """
    atexit.register(_finish, os.getpid())


def _finish(process: int) -> None:
    if os.getpid() != process:  # a fork has none of its parent's threads
        return
    for device in range(npu.devices.device_count()):
        if npu.memory.memory_stats(device).get("allocation.all.allocated"):
            with contextlib.suppress(RuntimeError):  # there may be no memory left: nothing can be done
                torch.ops.npu_emulator.finish_backward(device)
