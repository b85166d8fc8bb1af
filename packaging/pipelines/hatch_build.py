"""Gives the pipelines the main distribution's metadata, and keeps them out of an environment with another diffsynth."""

from __future__ import annotations

import re
import site
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Distributions of this tree; early ones of the first name had the pipelines in them, and are replaced.
OURS = {"diffsynth-port", "diffsynth-port-pipelines"}


class PipelinesMetadata(MetadataHookInterface):
    """Fills every field that `pyproject.toml` declares dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        refuse_beside_another_diffsynth()
        main = Path(self.root, "..", "..", "pyproject.toml")
        shared = tomllib.loads(main.read_text(encoding="utf-8"))["project"]
        for field in metadata["dynamic"]:
            if field != "version":  # hatchling reads it from the same file for both
                metadata[field] = shared[field]


def refuse_beside_another_diffsynth() -> None:
    """Ends the build, in one sentence, where pip is about to install beside another project's diffsynth.

    pip builds with the Python that it installs for, isolated or not, so this Python's folders are the environment's.
    uv and `python -m build` build elsewhere; what they install gives way to another diffsynth as it is imported.
    """
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if sys.prefix == sys.base_prefix:  # a virtual environment has no folder of the user
        folders.add(site.getusersitepackages())
    for found in distributions(path=sorted(folders)):
        if _name(found) not in OURS and _holds_diffsynth(found):
            sys.exit(
                f"{found.metadata['Name']} {found.version} is installed here and has a package diffsynth too, so the "
                "pipelines of diffsynth-port are not installed beside it: use a virtual environment of their own, or "
                "`pip install .` for the tools alone, which work with any diffsynth."
            )


def _name(found: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower()


def _holds_diffsynth(found: Distribution) -> bool:
    """Also where it is installed editable, and its files are elsewhere."""
    top_level = (found.read_text("top_level.txt") or "").split()
    return "diffsynth" in top_level or any(file.parts[0] == "diffsynth" for file in found.files or ())
