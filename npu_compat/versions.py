"""Which versions of torch, torch_npu, CANN and Python belong together, by the vendor's table and by the wheels.

A post release that neither has is judged by those before it: it is for the same torch, and its Pythons are not fewer.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

from npu_compat.accelerators import read_table
from npu_compat.torch_npu_builds import line, ordered

_CANN_HOME = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")


def installed() -> dict[str, str]:
    """Versions found: ``python``, ``torch``, ``torch_npu`` and ``cann``; what is not there is left out."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in ("torch", "torch_npu"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    cann = _cann()
    return found | ({"cann": cann} if cann else {})


def mismatches(found: dict[str, str]) -> list[str]:
    """One sentence for each pair of versions that do not belong together; none without torch_npu."""
    if "torch_npu" not in found:
        return []
    table = read_table("versions.json")
    torch_npu, torch = _public(found["torch_npu"]), _public(found.get("torch", ""))
    rows = [row for row in table["torch_npu"] if line(row["torch_npu"]) == line(torch_npu)]
    problems = _torch_problems(torch_npu, torch, rows)
    exact = [row for row in rows if row["torch_npu"] == torch_npu]
    wanted = sorted({row["cann"] for row in exact})
    if "cann" in found and wanted and not any(_same_release(found["cann"], cann) for cann in wanted):
        problems.append(
            f"torch_npu {torch_npu} is built for CANN {', '.join(wanted)}; CANN {found['cann']} is installed"
        )
    if not (found["python"] in table["python"].get(line(torch_npu), ()) or _has_wheel(torch_npu, found["python"])):
        problems.append(f"torch_npu {torch_npu} has no wheel for Python {found['python']}{_pythons_of(torch_npu)}")
    return problems


def install_advice(found: dict[str, str], machine: str = platform.machine()) -> str:
    """Why pip does not find the torch that torch_npu wants, and what to add; empty where there is nothing to say.

    Args:
        found: as :func:`installed` tells.
        machine: processor, as platform.machine names it.
    """
    if machine not in ("x86_64", "AMD64"):
        return ""
    version = _public(found.get("torch_npu") or found.get("torch", ""))
    pinned = _pinned_torch(version) if version else ""
    if not pinned.endswith("+cpu"):
        return ""
    return (
        f"on x86-64, torch_npu for torch {line(version)} requires torch=={pinned}, which PyPI does not have: give pip "
        "PyTorch's CPU wheel index as --extra-index-url (from torch 2.12 on PyPI alone will do)"
    )


def _torch_problems(torch_npu: str, torch: str, rows: list[dict[str, str]]) -> list[str]:
    # One that the table does not have carries the number of the torch it is for.
    expected = sorted({row["torch"] for row in rows}) or [line(torch_npu)]
    if torch in expected:
        return []
    return [f"torch_npu {torch_npu} belongs to torch {', '.join(expected)}; torch {torch or 'none'} is installed"]


def _pinned_torch(version: str) -> str:
    """What the wheels for a torch require: of the newest known build that is not for a later one."""
    pins: dict[str, str] = read_table("torch_npu_wheels.json")["torch"]
    same = [build for build in pins if ordered(line(build)) <= ordered(line(version))]
    suffix = "+cpu" if same and pins[max(same, key=ordered)].endswith("+cpu") else ""
    return line(version) + suffix


def _has_wheel(torch_npu: str, python: str) -> bool:
    """Whether a build has a wheel for this Python, or may have one, being newer than what is known."""
    known = read_table("torch_npu_wheels.json")["python"].get(python)
    if known is None:
        return True  # every build has it, or it is newer than the table
    if "until" in known:
        return ordered(torch_npu) <= ordered(known["until"])
    same_line = [build for build in known["from"] if line(build) == line(torch_npu)]
    if same_line:
        return any(ordered(torch_npu) >= ordered(build) for build in same_line)
    if any(len(build.split(".")) == 2 and ordered(torch_npu) >= ordered(build) for build in known["from"]):
        return True
    return ordered(torch_npu) > max(ordered(build) for build in known["from"])


def _pythons_of(torch_npu: str) -> str:
    pythons = read_table("versions.json")["python"].get(line(torch_npu))
    return f"; there are some for Python {', '.join(pythons)}" if pythons else ""


def _public(version: str) -> str:
    return version.partition("+")[0]


def _same_release(found: str, wanted: str) -> bool:
    return found.lower().startswith(wanted.lower())


def _cann() -> str | None:
    for variable in _CANN_HOME:
        home = os.environ.get(variable)
        for file in ("version.cfg", "ascend_toolkit_install.info", "compiler/version.info"):
            path = Path(home, file) if home else None
            if path is not None and path.is_file():
                match = re.search(r"(?im)^\w*version\w*\s*=\s*\[?([\w.]+)", path.read_text("utf-8", "replace"))
                if match is not None:
                    return match.group(1)
    return None
