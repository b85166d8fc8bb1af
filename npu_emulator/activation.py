"""Turning the emulated NPU on."""

from __future__ import annotations

import os
import threading

from npu_emulator.errors import EmulatorError
from npu_emulator.host import check_host
from npu_emulator.settings import Settings, parse_devices, parse_hardware, parse_memory

_lock = threading.RLock()
_enabled: Settings | None = None


def enable(
    devices: int | None = None,
    memory: int | str | None = None,
    hardware: str | None = None,
    strict: bool | None = None,
) -> Settings:
    """Registers the device ``npu`` with torch, for this process and, through the environment, its children.

    What is not given comes from the NPU_EMULATOR_* variables, and from :class:`Settings` where those are unset.
    Calling it again with the same values does nothing; the device cannot be taken away again.

    Args:
        devices: number of NPUs, 1 to 16.
        memory: memory of each, in bytes or as ``"64GiB"``.
        hardware: ``"atlas-a2"``, ``"atlas-a3"`` or ``"ascend-950dt"``.
        strict: refuse what the hardware refuses; False turns refusals into warnings.

    Raises:
        ValueError: a value is out of range; names it.
        UnsupportedHost: not Linux on x86-64 or aarch64, or there is a real NPU.
        BuildError: the backend could not be compiled.
        EmulatorError: it is enabled already with other values.
    """
    global _enabled
    known = Settings.from_environment()
    settings = Settings(
        devices=known.devices if devices is None else parse_devices(devices),
        memory=known.memory if memory is None else parse_memory(memory),
        hardware=known.hardware if hardware is None else parse_hardware(hardware),
        strict=known.strict if strict is None else strict,
    )
    with _lock:
        if _enabled is None:
            check_host()
            _install(settings)
        elif _enabled != settings:
            raise EmulatorError(
                f"the emulated NPU is enabled already with {_enabled}; {settings} would need a new process"
            )
    return settings


def enabled_with() -> Settings:
    """The settings in force.

    Raises:
        EmulatorError: the emulated NPU is not enabled.
    """
    if _enabled is None:
        raise EmulatorError("the emulated NPU is not enabled: call npu_emulator.enable() or set NPU_EMULATOR=1")
    return _enabled


def _install(settings: Settings) -> None:
    global _enabled
    import torch
    import torch.utils.backend_registration as backend_registration

    from npu_emulator import build

    build.load()
    torch.ops.npu_emulator.start(settings.visible_devices(), settings.memory)
    backend_registration.rename_privateuse1_backend("npu")
    _enabled = settings
    os.environ.update(settings.to_environment())

    from npu_emulator import registration

    registration.register()
