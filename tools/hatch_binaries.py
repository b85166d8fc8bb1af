"""Gives the wheel the prebuilt backends of the emulator, and with them the tag of their platform."""

import platform
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PrebuiltBackends(BuildHookInterface):
    """Where there is none, as in a fresh checkout, the wheel stays pure."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # which finds them in the checkout
            return
        sys.path.insert(0, self.root)
        from npu_emulator import binaries

        machine = platform.machine()
        for binary in binaries.prebuilt():
            if binary.path.name != binaries.file_name(binary.minor, machine):
                self.app.display_warning(
                    f"{binary.path} stays out of the wheel, as it is for another machine or from other sources: "
                    "remove it, or run tools/build_backends.py again"
                )
                continue
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-manylinux_2_28_{machine}"
            build_data["artifacts"].append(f"/npu_emulator/prebuilt/{binary.path.name}")
