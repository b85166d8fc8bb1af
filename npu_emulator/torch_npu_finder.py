"""``import torch_npu``: a module with a spec and a version, so that libraries which look for it find an NPU."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import torch

_FOLDER = Path(__file__).parent / "torch_npu"


def version() -> str:
    """torch_npu is released for one exact torch and carries its number."""
    return torch.__version__.partition("+")[0]


class _Distribution(importlib.metadata.Distribution):
    """What importlib.metadata says about torch_npu."""

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: torch_npu\nVersion: {version()}\nSummary: The emulated NPU\n"
        return None

    def locate_file(self, path: str | os.PathLike[str]) -> Path:  # type: ignore[override,unused-ignore]
        return _FOLDER.parent / path


class _Finder(importlib.abc.MetaPathFinder):
    """Finds torch_npu, and nothing else, ahead of whatever is installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torch_npu":
            return None
        return importlib.util.spec_from_file_location(
            fullname, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
        )

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        return _distributions(context.name if context is not None else None)


def _distributions(name: str | None) -> Iterator[importlib.metadata.Distribution]:
    if name is None or re.sub(r"[-_.]+", "-", name).lower() == "torch-npu":
        yield _Distribution()


def install_finder() -> None:
    """Puts the finder first; called once."""
    sys.meta_path.insert(0, _Finder())
