"""Turning the emulated NPU on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from npu_emulator.errors import EmulatorError, UnsupportedHost
from npu_emulator.host import NO_TORCH, check_host
from npu_emulator.settings import (
    Settings,
    in_force,
    parse_cann,
    parse_devices,
    parse_hardware,
    parse_memory,
    put_in_force,
)

_lock = threading.RLock()
_importing = threading.local()


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
        UnsupportedHost: not Linux on x86-64 or aarch64, no torch or one before 2.7, or there is a real NPU.
        BuildError: no prebuilt backend fits, and none could be compiled.
        EmulatorError: it is enabled already with other values.
    """
    known = Settings.from_environment()
    settings = Settings(
        devices=known.devices if devices is None else parse_devices(devices),
        memory=known.memory if memory is None else parse_memory(memory),
        hardware=known.hardware if hardware is None else parse_hardware(hardware),
        strict=known.strict if strict is None else strict,
        cann=known.cann if cann is None else parse_cann(cann),
    )
    if in_force() is None:
        check_host()
        with _environment_of(settings):
            _import_torch()
            with _lock:
                if in_force() is None:
                    _install(settings)
    with _lock:  # another thread may still be at it
        if in_force() != settings:
            raise EmulatorError(
                f"the emulated NPU is enabled already with {in_force()}; {settings} would need a new process"
            )
    return settings


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


def importing_torch() -> bool:
    """Whether this thread is importing torch within enable(), which then raises what fails."""
    return getattr(_importing, "torch", False)


def _import_torch() -> None:
    # Importing torch calls enable() again where its entry point is installed; that call reads the environment, and is
    # the one that counts, as other entry points may need the device. No lock is held here: another thread may be
    # importing torch, and would wait for it.
    before, _importing.torch = importing_torch(), True
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UnsupportedHost(NO_TORCH) from None
    except RuntimeError as error:  # torch wraps what an entry point raises
        if isinstance(error.__cause__, EmulatorError):
            raise error.__cause__ from None
        raise
    finally:
        _importing.torch = before


def _install(settings: Settings) -> None:
    import torch
    import torch.utils.backend_registration as backend_registration

    from npu_emulator import backend

    backend.load()
    visible = settings.visible_devices()
    torch.ops.npu_emulator.start(visible, settings.memory)
    backend_registration.rename_privateuse1_backend("npu")
    put_in_force(settings, visible)

    from npu_emulator import registration

    registration.register(enable)
