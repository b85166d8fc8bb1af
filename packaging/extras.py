"""The extras of diffsynth-port: those of pyproject.toml's hook table, and those that lead to the pipelines.

The pipelines are a distribution of their own, built from `packaging/pipelines`. No index is asked for them from a
checkout: the extras point to that folder. What is built to be published names them instead, with the version:
DIFFSYNTH_PORT_RELEASE=1 (`make dist` sets it).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Extras(MetadataHookInterface):
    """Fills `optional-dependencies`."""

    def update(self, metadata: dict[str, Any]) -> None:
        folder = Path(self.root, "packaging", "pipelines")
        pipelines = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        name, extras = pipelines["name"], pipelines["optional-dependencies"]
        release = os.environ.get("DIFFSYNTH_PORT_RELEASE", "") not in ("", "0")
        place = f"=={metadata['version']}" if release else f" @ {folder.resolve().as_uri()}"

        given: dict[str, list[str]] = self.config["optional-dependencies"]
        metadata["optional-dependencies"] = {
            "pipeline": [f"{name}{place}"],
            **{extra: [f"{name}[{extra}]{place}"] for extra in extras},
            **given,
            # Developers import the pipelines from the checkout, and need what they stand on.
            "dev": [*pipelines["dependencies"], *extras["train"], *given["dev"]],
        }
