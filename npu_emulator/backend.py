"""Loads the C++ backend into this process: a prebuilt binary where one fits, else one that is compiled here."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from npu_emulator import binaries, build
from npu_emulator.errors import BuildError


def load() -> None:
    """Loads a prebuilt binary; where none fits, or it does not load, the compiled one, compiling it if need be.

    Raises:
        BuildError: nothing prebuilt fits and the backend cannot be compiled, or the compiled one does not load.
        ValueError: NPU_EMULATOR_PREBUILT is neither 0 nor 1.
    """
    path, reason = prebuilt_or_reason()
    if path is not None:
        failure = _failure(path)
        if failure is None:
            return
        reason = f"the prebuilt {path.name} does not load: {failure}"
    path = build.library(reason)
    failure = _failure(path)
    if failure is not None:
        raise BuildError(f"the cached backend does not load ({failure}): remove the folder {path.parent} and try again")


def prebuilt_or_reason() -> tuple[Path | None, str | None]:
    """The prebuilt binary that fits, or why none does; neither where none is installed.

    Raises:
        ValueError: NPU_EMULATOR_PREBUILT is neither 0 nor 1.
    """
    installed = binaries.prebuilt()
    if not binaries.wanted():
        return None, "NPU_EMULATOR_PREBUILT=0" if installed else None
    for binary in installed:
        if binary.why_not(torch.__version__, torch.compiled_with_cxx11_abi()) is None:
            return binary.path, None
    machine = platform.machine()
    return None, f"none of the prebuilt ones is for torch {torch.__version__} on {machine}" if installed else None


def _failure(path: Path) -> str | None:
    """Loads a library; why it does not load, or None."""
    try:
        load_file(path)
    except OSError as error:
        return str(error)
    return None


def load_file(path: Path) -> None:
    """Loads one library, whether or not it fits.

    Raises:
        OSError: it needs another glibc, or symbols that this torch does not have.
    """
    operators: Any = torch.ops
    operators.load_library(str(path))
