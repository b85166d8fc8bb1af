"""Gives the tools-only distribution the main one's metadata, so that nothing is written down twice."""

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class MainProjectMetadata(MetadataHookInterface):
    """Fills every field that `packaging/tools/pyproject.toml` declares dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        main = Path(self.root, "..", "..")
        shared = tomllib.loads((main / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        # As text, because hatchling takes no file from outside the project's folder.
        readme = (main / shared["readme"]).read_text(encoding="utf-8")
        shared["readme"] = {"content-type": "text/markdown", "text": readme}
        for field in metadata["dynamic"]:
            if field != "version":  # hatchling reads it from the same file for both
                metadata[field] = shared[field]
