"""Run unchanged CUDA programs on the active accelerator.

``import npu_compat`` at the top of a script, before or after ``import torch``, redirects ``torch.cuda``, devices called
``"cuda"`` and everything that names them to an Ascend NPU, an XPU, MPS, MUSA or the emulated NPU. On NVIDIA CUDA and
AMD ROCm it does nothing. NPU_COMPAT=0 in the environment keeps the import from redirecting anything.
"""

import os as _os

from npu_compat.command import command as _command
from npu_compat.environment import mirror_environment as _mirror_environment

if _command() == "run" or (_command() is None and _os.environ.get("NPU_COMPAT") != "0"):
    _mirror_environment(_os.environ)  # before torch is imported, which reads it

try:
    from npu_compat.activation import activate, activate_on_import, deactivate, redirected, report
except ModuleNotFoundError as _error:
    if _error.name != "torch" or _command() is None:
        raise  # python -m npu_compat says it in one line
from npu_compat.errors import NoAccelerator, UnsupportedOnAccelerator
from npu_compat.report import Report

__all__ = [
    "NoAccelerator",
    "Report",
    "UnsupportedOnAccelerator",
    "activate",
    "deactivate",
    "redirected",
    "report",
]

if _command() is None:
    activate_on_import()
