"""Which versions of torch, torch_npu, CANN and Python belong together, by the vendor's table."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

from npu_compat.accelerators import read_table

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
    """One sentence for each pair of versions that the table does not put together; none without torch_npu."""
    if "torch_npu" not in found:
        return []
    table = read_table("versions.json")
    torch_npu, torch = _public(found["torch_npu"]), _public(found.get("torch", ""))
    rows = [row for row in table["torch_npu"] if _base(row["torch_npu"]) == _base(torch_npu)]
    problems = _torch_problems(torch_npu, torch, rows)
    exact = [row for row in rows if row["torch_npu"] == torch_npu]
    wanted = sorted({row["cann"] for row in exact})
    if "cann" in found and wanted and not any(_same_release(found["cann"], cann) for cann in wanted):
        problems.append(
            f"torch_npu {torch_npu} is built for CANN {', '.join(wanted)}; CANN {found['cann']} is installed"
        )
    pythons = table["python"].get(torch)
    if pythons is not None and found["python"] not in pythons:
        problems.append(
            f"torch_npu for torch {torch} has Python {', '.join(pythons)}; this is Python {found['python']}"
        )
    return problems


def _torch_problems(torch_npu: str, torch: str, rows: list[dict[str, str]]) -> list[str]:
    if not rows and _base(torch_npu) == _base(torch):
        return []  # newer than the table: it carries the number of the torch it is for
    expected = sorted({row["torch"] for row in rows}) or [_base(torch_npu)]
    if torch in expected:
        return []
    return [f"torch_npu {torch_npu} belongs to torch {', '.join(expected)}; torch {torch} is installed"]


def _public(version: str) -> str:
    return version.partition("+")[0]


def _base(version: str) -> str:
    return re.sub(r"\.post\d+.*$", "", version)


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
