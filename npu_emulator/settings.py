"""What the emulated NPU looks like: how many devices, how much memory, which hardware line, how strict; and which
settings are in force, which every other module asks here."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from npu_emulator.errors import EmulatorError

# Hardware lines: Atlas A2 and A3, Ascend 950, Atlas training (910), Atlas inference (310P), Atlas 200I/500 A2 (310B).
HARDWARE_LINES = ("atlas-a2", "atlas-a3", "ascend-950dt", "atlas-910", "atlas-310p", "atlas-200i-a2")

MAX_DEVICES = 16
# What a card of these lines has; a host with less gives its own, as the devices live in it.
CARD_MEMORY = 64 * 2**30
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_memory(value: str | int, source: str = "memory") -> int:
    """Bytes from ``8GiB``, ``512MiB``, ``16GB`` or a plain number of bytes.

    Raises:
        ValueError: the value is not a positive amount of memory; names ``source``.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    unit = match.group(2).upper() or "B" if match else ""
    if match is None or unit not in _UNITS or float(match.group(1)) <= 0:
        raise ValueError(f"{source}={value!r}: expected an amount of memory such as 64GiB, 512MiB or 8000000000")
    return int(float(match.group(1)) * _UNITS[unit])


def parse_devices(value: str | int, source: str = "devices") -> int:
    """Number of devices, 1 to 16.

    Raises:
        ValueError: the value is not such a number; names ``source``.
    """
    if not re.fullmatch(r"\s*\d+\s*", str(value)) or not 1 <= int(value) <= MAX_DEVICES:
        raise ValueError(f"{source}={value!r}: expected a number of devices from 1 to {MAX_DEVICES}")
    return int(value)


def parse_hardware(value: str, source: str = "hardware") -> str:
    """Name of a hardware line.

    Raises:
        ValueError: no such line; names ``source``.
    """
    if value not in HARDWARE_LINES:
        raise ValueError(f"{source}={value!r}: expected one of {', '.join(HARDWARE_LINES)}")
    return value


def parse_cann(value: str, source: str = "cann") -> str:
    """Version of CANN, such as ``8.0``.

    Raises:
        ValueError: no version; names ``source``.
    """
    if not re.fullmatch(r"\d+(\.\d+)+", value):
        raise ValueError(f"{source}={value!r}: expected a version of CANN such as 8.0 or 8.2")
    return value


def parse_switch(value: str, source: str) -> bool:
    """``1`` or ``0``.

    Raises:
        ValueError: anything else; names ``source``.
    """
    if value not in ("0", "1"):
        raise ValueError(f"{source}={value!r}: expected 0 or 1")
    return value == "1"


def default_memory() -> int:
    """Bytes of memory of a device nobody sized: a card's, or all the host, or its container, has if that is less."""
    return min(CARD_MEMORY, _host_memory(), _container_memory())


def _host_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return CARD_MEMORY


def _container_memory() -> int:
    try:
        return int(CONTAINER_LIMIT.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return CARD_MEMORY


@dataclass(frozen=True)
class Settings:
    """One emulated machine.

    Attributes:
        devices: number of NPUs, 1 to 16.
        memory: bytes of memory of each device; 64 GiB, or what the host has if that is less.
        hardware: one of HARDWARE_LINES.
        strict: refuse what the hardware refuses; otherwise warn.
        cann: version of CANN to be refused by as well, such as ``8.0``; None for the newest.
    """

    devices: int = 1
    memory: int = field(default_factory=default_memory)
    hardware: str = "atlas-a2"
    strict: bool = True
    cann: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads NPU_EMULATOR_DEVICES, _MEMORY, _HARDWARE, _STRICT and _CANN; what is unset keeps its default.

        Raises:
            ValueError: a variable holds something else than it should; names the variable.
        """
        found = os.environ if environ is None else environ
        default = cls()
        return cls(
            devices=parse_devices(found.get("NPU_EMULATOR_DEVICES", default.devices), "NPU_EMULATOR_DEVICES"),
            memory=parse_memory(found.get("NPU_EMULATOR_MEMORY", default.memory), "NPU_EMULATOR_MEMORY"),
            hardware=parse_hardware(found.get("NPU_EMULATOR_HARDWARE", default.hardware), "NPU_EMULATOR_HARDWARE"),
            strict=parse_switch(found.get("NPU_EMULATOR_STRICT", "1"), "NPU_EMULATOR_STRICT"),
            cann=parse_cann(cann, "NPU_EMULATOR_CANN") if (cann := found.get("NPU_EMULATOR_CANN")) else None,
        )

    def visible_devices(self) -> int:
        """How many of the devices ASCEND_RT_VISIBLE_DEVICES leaves visible."""
        return len(set(visible_ordinals(self.devices)))

    def to_environment(self) -> dict[str, str]:
        """The variables that give a child process the same emulated machine."""
        return {
            "NPU_EMULATOR": "1",
            "NPU_EMULATOR_DEVICES": str(self.devices),
            "NPU_EMULATOR_MEMORY": str(self.memory),
            "NPU_EMULATOR_HARDWARE": self.hardware,
            "NPU_EMULATOR_STRICT": "1" if self.strict else "0",
            "NPU_EMULATOR_CANN": self.cann or "",
        }


def visible_ordinals(devices: int) -> list[int]:
    """The ordinals that ASCEND_RT_VISIBLE_DEVICES names of so many devices; all where it is unset.

    As CANN reads it: digits and commas, up to the first character or number that is none of a device, such as -1
    (`ASCEND_RT_VISIBLE_DEVICES` in the vendor's reference of environment variables).
    """
    listed = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    if listed is None:
        return list(range(devices))
    leading = re.match(r"[\d,]*", listed)
    named = [int(ordinal) for ordinal in leading.group().split(",") if ordinal] if leading else []
    return list(itertools.takewhile(lambda ordinal: ordinal < devices, named))


_in_force: Settings | None = None
_visible = 0


def enabled_with() -> Settings:
    """The settings in force.

    Raises:
        EmulatorError: the emulated NPU is not enabled.
    """
    if _in_force is None:
        raise EmulatorError("the emulated NPU is not enabled: call npu_emulator.enable() or set NPU_EMULATOR=1")
    return _in_force


def in_force() -> Settings | None:
    """The settings in force, or None before enable()."""
    return _in_force


def visible_devices() -> int:
    """Number of devices that were opened, those ASCEND_RT_VISIBLE_DEVICES named then; 0 before enable()."""
    return _visible


def put_in_force(settings: Settings, visible: int) -> None:
    """Called once, when the devices are open."""
    global _in_force, _visible
    _in_force, _visible = settings, visible
