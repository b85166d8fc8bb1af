"""From what a user writes as a device to a torch.device that this machine has. Never quietly the CPU instead."""

from __future__ import annotations

import difflib
import functools

import torch

from diffsynth.core.device.device_types import (
    ACCELERATORS,
    CPU,
    CUDA,
    NPU,
    available,
    current_accelerator,
    current_index,
    device_count,
    device_module,
    import_package,
    is_available,
)

_ON_THE_CPU = "NPU_COMPAT_FALLBACK=cpu python -m npu_compat run SCRIPT"


class UnknownDeviceError(ValueError):
    """A device that torch does not know or this machine does not have; the message lists what is there."""


def resolve_device(device: str | torch.device | int | None = None) -> torch.device:
    """The device meant, as a torch.device with an index (the CPU has none).

    Args:
        device: None means the accelerator of this machine, or the CPU where there is none; a number means that one of
            the accelerators. A type without a number means the current one of that type. The value goes through
            ``torch.device`` first, so a redirect that translates "cuda" is honoured.

    Raises:
        UnknownDeviceError: torch does not know it, or it is not on this machine.
    """
    parsed = torch.device(current_accelerator() or CPU) if device is None else _parse(device)
    if parsed.type == CPU:
        return torch.device(CPU)
    if not is_available(parsed.type):
        raise _not_here(device, parsed.type)
    if (parsed.index or 0) >= device_count(parsed.type):
        raise _not_here(device)
    if parsed.type == NPU:
        _prefer_plain_layouts()
    # torch's own types say that there always is a number.
    number = current_index(parsed.type) if parsed.index is None else parsed.index  # type: ignore[redundant-expr]
    return torch.device(parsed.type, number)


def parse_device_type(device: str | torch.device | None) -> str | None:
    """Type of a device without its index, whether or not this machine has it: "npu" of "npu:0"; None of None.

    Raises:
        UnknownDeviceError: no device type of this name is known.
    """
    if device is None:
        return None
    name = str(device).partition(":")[0]
    if name in ACCELERATORS and not hasattr(torch, name):
        return name  # torch learns of it when the vendor's package is imported, which is not needed here
    return _parse(device).type


def _parse(device: str | torch.device | int) -> torch.device:
    """What torch makes of it."""
    if isinstance(device, bool) or not isinstance(device, str | int | torch.device):
        raise UnknownDeviceError(
            f"device={device!r}: expected a name such as {_machine()[0]!r}, a torch.device, a number or None"
        )
    name = device.partition(":")[0] if isinstance(device, str) else ""
    if name in ACCELERATORS:
        import_package(name)  # torch.device says below if that was no use
    try:
        return torch.device(device)
    except RuntimeError as error:
        if isinstance(device, int) or (name in ACCELERATORS and not is_available(name)):
            raise _not_here(device, name) from error
        raise _unknown(device, name) from error


@functools.cache
def _prefer_plain_layouts() -> None:
    """Keeps tensors in the layouts torch knows: older Ascend stacks refuse Conv3d in bfloat16 otherwise."""
    config = getattr(device_module(NPU), "config", None)
    if config is not None:
        config.allow_internal_format = False


def _unknown(device: object, name: str) -> UnknownDeviceError:
    near = difflib.get_close_matches(name.lower(), {found.partition(":")[0] for found in _machine()}, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return UnknownDeviceError(f"device {str(device)!r} is not known{meant}: this machine has {_choice()}")


def _not_here(device: object, name: str = "") -> UnknownDeviceError:
    """``name`` is the type the machine lacks; empty where it has the type and not the number."""
    return UnknownDeviceError(f"device {str(device)!r} is not on this machine, which has {_choice()}{_way_out(name)}")


def _choice() -> str:
    there = _machine()
    return f"{', '.join(there)}; write one of them" if len(there) > 1 else f"only {there[0]}; write that"


def _machine() -> list[str]:
    return [f"{name}:{index}" for name in available() for index in range(device_count(name))] + [CPU]


def _way_out(name: str) -> str:
    """How a device of that type could come to be here, or a script that names it run without."""
    if name == CUDA and next(available(), None):
        return ", or run the script unchanged with `import npu_compat` at its top"
    if name == CUDA:
        as_it_stands = f", or run the script on the CPU as it stands: {_ON_THE_CPU}"
        if torch.version.cuda or torch.version.hip:
            return f"{as_it_stands} (torch is built for GPUs and sees none: check the driver and CUDA_VISIBLE_DEVICES)"
        return f"{as_it_stands}, or install a torch built for CUDA or ROCm (this one is {torch.__version__})"
    missing = import_package(name) if name in ACCELERATORS else ""
    return f" ({missing}: it brings {name!r}, the {ACCELERATORS[name].title})" if missing else ""
