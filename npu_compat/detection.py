"""Which accelerator torch programs of this process should act on, and why not another."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from npu_compat import host_device
from npu_compat.accelerators import TARGETS, Accelerator, host, load


@dataclass(frozen=True)
class Detection:
    """What was found.

    Attributes:
        kind: ``accelerator``, ``cuda`` (real CUDA or ROCm: nothing is redirected), ``cpu`` or ``none``.
        accelerator: what CUDA calls act on; None for the kinds ``cuda`` and ``none``.
        reason: why this one.
        rejected: what else was looked for, with what was missing.
    """

    kind: str
    accelerator: Accelerator | None
    reason: str
    rejected: dict[str, str] = field(default_factory=dict)

    @property
    def is_ascend(self) -> bool:
        """Whether torch_npu is what CUDA calls act on, and not an emulator of it."""
        return self.accelerator is not None and self.accelerator.name == "npu" and not is_emulated()


def detect(environ: Mapping[str, str] | None = None) -> Detection:
    """Looks for an emulated npu, real CUDA or ROCm, then for each accelerator there is a table of.

    Raises:
        ValueError: NPU_COMPAT_FALLBACK is set to something else than ``cpu``.
    """
    environ = os.environ if environ is None else environ
    if is_emulated():
        return Detection("accelerator", load("npu"), "an emulated npu is enabled", {})
    rejected = {"cuda": _why_not_cuda()}
    if not rejected["cuda"]:
        platform = "AMD ROCm" if torch.version.hip else "NVIDIA CUDA"
        return Detection("cuda", None, f"torch.cuda is real here ({platform})", {})
    for name in TARGETS:
        accelerator = load(name)
        missing = _why_not(accelerator)
        if not missing:
            return Detection("accelerator", accelerator, f"{accelerator.title} is available", rejected)
        rejected[name] = missing
    return _without_accelerator(environ, rejected)


def is_emulated() -> bool:
    """Whether torch.npu is an emulator's rather than the hardware's."""
    return getattr(getattr(torch, "npu", None), "__name__", "").startswith("npu_emulator.")


def _without_accelerator(environ: Mapping[str, str], rejected: dict[str, str]) -> Detection:
    fallback = environ.get("NPU_COMPAT_FALLBACK", "")
    if fallback not in ("", "cpu"):
        raise ValueError(f"NPU_COMPAT_FALLBACK={fallback!r}: expected cpu, or nothing")
    if fallback:
        return Detection(
            "cpu", host(host_device.names()), "NPU_COMPAT_FALLBACK=cpu, and no accelerator was found", rejected
        )
    return Detection("none", None, "no accelerator was found", rejected)


def _why_not_cuda() -> str:
    if not (torch.version.cuda or torch.version.hip):
        return "this torch is built without CUDA and ROCm"
    # device_count asks the driver's management library first, so children can still be forked.
    return "" if torch.cuda.device_count() > 0 else "torch is built for it, but no device is visible"


def _why_not(accelerator: Accelerator) -> str:
    package, module = accelerator.registered_by, accelerator.module
    if package is not None:
        return _why_not_package(package, module)
    own = getattr(torch, module, None)
    name = f"torch.{module}" if hasattr(own, "is_available") else f"torch.backends.{module}"
    asked = own if hasattr(own, "is_available") else getattr(torch.backends, module, None)
    return "" if asked is not None and asked.is_available() else f"{name}.is_available() is False"


def _why_not_package(package: str, module: str) -> str:
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    try:
        importlib.import_module(package)
        available = getattr(torch, module).is_available()
    except Exception as error:  # whatever a vendor's package raises, it is a reason and no failure of ours
        return f"{package} cannot be used: {type(error).__name__}: {error}"
    return "" if available else f"{package} is installed, but no device is visible"
