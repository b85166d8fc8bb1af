"""What is installed, for reports: ``python -m torch_npu.utils.collect_env`` on hardware."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch.utils import collect_env as _torch_report

from npu_emulator.npu.devices import get_cann_version as _cann_version
from npu_emulator.torch_npu_finder import version

_report: Any = _torch_report


def get_cann_version() -> str:
    """The version of CANN; empty, as none is installed."""
    return _cann_version()


def get_torch_npu_version() -> str:
    """The version of torch_npu, which is torch's here."""
    return version()


def get_torch_npu_install_path() -> str:
    """The folder torch_npu is in."""
    return str(Path(__file__).parents[2])


def check_directory_path_readable(path: str) -> None:
    """Raises RuntimeError unless ``path`` is a folder that can be read."""
    if not os.path.isdir(path):
        raise RuntimeError(f"The path does not exist, or is no folder: {path}")
    if not os.access(path, os.R_OK):
        raise RuntimeError(f"The path cannot be read: {path}")


def check_path_owner_consistent(path: str) -> None:
    """Raises RuntimeError unless ``path`` is there."""
    if not os.path.exists(path):
        raise RuntimeError(f"The path does not exist: {path}")


def get_env_info() -> Any:
    """torch's report; what it says of an NPU is said by pretty_str."""
    return _report.get_env_info()


def pretty_str(envinfo: Any) -> str:
    """The report as text."""
    devices = f"{torch.npu.device_count()} x {torch.npu.get_device_name()}"  # type: ignore[attr-defined]
    return f"{_report.pretty_str(envinfo)}\ntorch_npu: {version()} (emulated: {devices})\nCANN: none"


def get_pretty_env_info() -> str:
    """The report on this machine."""
    return pretty_str(get_env_info())


def main() -> None:
    """Prints the report."""
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
