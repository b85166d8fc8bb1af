"""The prebuilt backends that a platform wheel brings: one for each minor release of torch, and which of them fits.

torch's C++ interfaces change between minor releases and stay within one, for the CPU and the CUDA builds alike.
``tools/build_backends.py`` makes the files; a checkout and the pure wheel have none. This module never imports torch.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from npu_emulator.settings import parse_switch
from npu_emulator.sources import source_hash

FOLDER = Path(__file__).parent / "prebuilt"
_NAME = re.compile(r"torch-(?P<minor>\d+\.\d+)-(?P<machine>\w+)-(?P<sources>[0-9a-f]{16})\.so")
# 2.13.1, 2.13.0+cpu; not 2.14.0a0+git1234 or 2.14.0.dev20260901, whose interfaces may be those of no release.
_RELEASE = re.compile(r"(\d+\.\d+)\.\d+(\.post\d+)?(\+.*)?")


@dataclass(frozen=True)
class Binary:
    """One prebuilt backend.

    Attributes:
        path: the shared library.
        minor: the minor release of torch it is for, such as "2.13".
        machine: "x86_64" or "aarch64".
        sources: hash of the sources it was compiled from.
    """

    path: Path
    minor: str
    machine: str
    sources: str

    def why_not(self, torch_version: str, cxx11_abi: bool) -> str | None:
        """Why it does not fit this machine and this torch; None where it fits."""
        if self.machine != platform.machine():
            return f"for {self.machine}, and this is {platform.machine()}"
        if self.minor != ".".join(torch_version.split(".")[:2]):
            return f"for torch {self.minor}"
        if minor_of_release(torch_version) is None:
            return f"for releases of torch {self.minor}, and {torch_version} is none"
        if self.sources != source_hash():
            return "compiled from other sources than those beside it"
        if not cxx11_abi:
            return "for the C++11 ABI, without which this torch was built"
        return None


def file_name(minor: str, machine: str) -> str:
    """Name of the binary for a minor release of torch, from the sources as they are."""
    return f"torch-{minor}-{machine}-{source_hash()}.so"


def minor_of_release(torch_version: str) -> str | None:
    """``"2.13"`` from ``"2.13.0+cpu"``; None for what is not a release."""
    release = _RELEASE.fullmatch(torch_version)
    return release.group(1) if release else None


def prebuilt() -> list[Binary]:
    """The binaries that are installed, oldest torch first."""
    found = [(path, _NAME.fullmatch(path.name)) for path in FOLDER.glob("*.so")]
    binaries = [Binary(path, **match.groupdict()) for path, match in found if match]
    return sorted(binaries, key=lambda binary: (*map(int, binary.minor.split(".")), binary.path.name))


def wanted() -> bool:
    """Whether prebuilt binaries may be used: not where NPU_EMULATOR_PREBUILT=0.

    Raises:
        ValueError: the variable is neither 0 nor 1.
    """
    return parse_switch(os.environ.get("NPU_EMULATOR_PREBUILT", "1"), "NPU_EMULATOR_PREBUILT")
