"""Turning the emulated NPU on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from npu_emulator.errors import EmulatorError
from npu_emulator.host import check_host
from npu_emulator.settings import Settings, parse_cann, parse_devices, parse_hardware, parse_memory

_lock = threading.RLock()
_enabled: Settings | None = None
_visible = 0


def enable(
    devices: int | None = None,
    memory: int | str | None = None,
    hardware: str | None = None,
    strict: bool | None = None,
    cann: str | None = None,
) -> Settings:
    """Registers the device ``npu`` with torch, for this process and, through the environment, its children.

    What is not given comes from the NPU_EMULATOR_* variables, and from :class:`Settings` where those are unset.
    Calling it again with the same values does nothing; the device cannot be taken away again.

    Args:
        devices: number of NPUs, 1 to 16.
        memory: memory of each, in bytes or as ``"64GiB"``.
        hardware: ``"atlas-a2"``, ``"atlas-a3"``, ``"ascend-950dt"``, ``"atlas-910"``, ``"atlas-310p"`` or
            ``"atlas-200i-a2"``.
        strict: refuse what the hardware refuses; False turns refusals into warnings.
        cann: version of CANN, such as ``"8.0"``, for what older versions refused as well.

    Raises:
        ValueError: a value is out of range; names it.
        UnsupportedHost: not Linux on x86-64 or aarch64, a torch before 2.13, or there is a real NPU.
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
        cann=known.cann if cann is None else parse_cann(cann),
    )
    if _enabled is None:
        check_host()
        with _environment_of(settings):
            _import_torch()
            with _lock:
                if _enabled is None:
                    _install(settings)
    with _lock:  # another thread may still be at it
        if _enabled != settings:
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


def visible_devices() -> int:
    """Number of devices that were opened, those ASCEND_RT_VISIBLE_DEVICES named then; 0 before enable()."""
    return _visible


@contextlib.contextmanager
def _environment_of(settings: Settings) -> Iterator[None]:
    # Set before torch is imported, and taken back if the device cannot be had.
    variables = settings.to_environment()
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    except BaseException:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        raise


def _import_torch() -> None:
    # Importing torch calls enable() again where its entry point is installed; that call reads the environment, and is
    # the one that counts, as other entry points may need the device. No lock is held here: another thread may be
    # importing torch, and would wait for it.
    try:
        import torch  # noqa: F401
    except RuntimeError as error:  # torch wraps what an entry point raises
        if isinstance(error.__cause__, EmulatorError):
            raise error.__cause__ from None
        raise


def _install(settings: Settings) -> None:
    global _enabled, _visible
    import torch
    import torch.utils.backend_registration as backend_registration

    from npu_emulator import build

    build.load()
    _visible = settings.visible_devices()
    torch.ops.npu_emulator.start(_visible, settings.memory)
    backend_registration.rename_privateuse1_backend("npu")
    _enabled = settings

    from npu_emulator import registration

    registration.register()
