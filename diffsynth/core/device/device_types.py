"""The device types this library knows, and which of them this machine has."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import torch

CPU, CUDA, NPU, XPU, MPS, MUSA = "cpu", "cuda", "npu", "xpu", "mps", "musa"


@dataclass(frozen=True)
class DeviceType:
    """A kind of accelerator.

    Attributes:
        title: the hardware, as its users call it.
        package: what has to be imported before torch knows the type; None where torch itself does.
        process_group: the backend of torch.distributed that works on its tensors; None where there is none.
    """

    title: str
    package: str | None = None
    process_group: str | None = None


# AMD ROCm is "cuda" in torch. In this order a machine with several is described.
ACCELERATORS = {
    CUDA: DeviceType("NVIDIA or AMD GPU", process_group="nccl"),
    NPU: DeviceType("Ascend NPU", package="torch_npu", process_group="hccl"),
    XPU: DeviceType("Intel GPU", process_group="xccl"),
    MPS: DeviceType("Apple GPU"),
    MUSA: DeviceType("Moore Threads GPU", package="torch_musa", process_group="mccl"),
}


def current_accelerator() -> str | None:
    """The type that torch computes on here, or None where there is only the CPU.

    A vendor's package is imported only where it is installed and torch has found no accelerator without it.
    """
    if torch.accelerator.is_available() and (current := torch.accelerator.current_accelerator()) is not None:
        return current.type
    for name, kind in ACCELERATORS.items():
        if kind.package and is_available(name):
            return name
    return None


def available() -> Iterator[str]:
    """Types of accelerators this machine has. One that torch knows and this library does not comes first."""
    current = current_accelerator()
    if current and current not in ACCELERATORS:
        yield current
    yield from filter(is_available, ACCELERATORS)


def is_available(name: str) -> bool:
    """Whether tensors can be made on that type of device."""
    if name in ACCELERATORS and import_package(name):
        return False
    try:
        module = device_module(name)
        answers = module if hasattr(module, "is_available") else getattr(torch.backends, name)
        # A redirect may have put another device in the place of this one.
        return torch.device(name).type == name and bool(answers.is_available())
    except (RuntimeError, AttributeError):  # torch was built without it
        return False


def device_count(name: str) -> int:
    """Number of devices of an available type."""
    return int(device_module(name).device_count())


def current_index(name: str) -> int:
    """Index of the device of that type on which tensors are made; 0 on the CPU and on MPS."""
    current = getattr(device_module(name), "current_device", None)
    return 0 if name == CPU or current is None else int(current())


def compute_capability(device: torch.device) -> tuple[int, int] | None:
    """NVIDIA's number for what a GPU can do; None on everything else, AMD's included."""
    return torch.cuda.get_device_capability(device) if device.type == CUDA and torch.version.cuda else None


def device_module(name: str) -> ModuleType:
    """``torch.cuda``, ``torch.npu``, ``torch.cpu`` and so on."""
    module: ModuleType = torch.get_device_module(name)
    return module


def import_package(name: str) -> str:
    """Imports the package that brings the type; says why that fails, and nothing where it works or none is needed."""
    package = ACCELERATORS[name].package
    if package is None or hasattr(torch, name):
        return ""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    return _import(package)


@functools.cache
def _import(package: str) -> str:
    try:
        importlib.import_module(package)
    except Exception as error:  # whatever a vendor's package raises, it is a reason and no failure of ours
        return f"{package} cannot be imported: {type(error).__name__}: {error}"
    return ""
