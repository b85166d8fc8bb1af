"""What a test asks of the machine it runs on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from npu_emulator import binaries
from npu_emulator.errors import UnsupportedHost
from npu_emulator.host import check_host


def no_emulator_here() -> str:
    """Why no NPU can be emulated on this machine; empty where one can."""
    try:
        check_host()
    except UnsupportedHost as error:
        return str(error)
    if binaries.prebuilt() or shutil.which(os.environ.get("CXX", "g++")):
        return ""
    return "the emulated NPU needs a C++ compiler"


needs_emulator = pytest.mark.skipif(bool(no_emulator_here()), reason=no_emulator_here())


def install_entry_points(folder: Path) -> Path:
    """Makes a folder that, on PYTHONPATH, gives torch the entry points an installed copy of the project has."""
    info = folder / "entry_points_of_the_project-0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: entry_points_of_the_project\nVersion: 0\n")
    lines = [f"{name} = accelerator_autoload:{name}" for name in ("npu_compat", "npu_emulator")]
    info.joinpath("entry_points.txt").write_text("\n".join(["[torch.backends]", *lines, ""]))
    return folder
