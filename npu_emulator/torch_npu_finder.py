"""``import torch_npu``: a module with a spec and a version, so that libraries which look for it find an NPU.

Its public submodules import as they do on hardware: those that are files of ours, completed from the table of the
wheel, and the others made of that table alone.
"""

from __future__ import annotations

import importlib
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

from npu_emulator import surface

_FOLDER = Path(__file__).parent / "torch_npu"
_ENTRY_POINTS = """[torch_dynamo_backends]
npu = npu_emulator.eager_compile:run_eagerly
npugraph_ex = npu_emulator.eager_compile:run_eagerly
npugraphs = npu_emulator.eager_compile:run_eagerly
"""


def version() -> str:
    """torch_npu is released for one exact torch and carries its number."""
    return torch.__version__.partition("+")[0]


class _Distribution(importlib.metadata.Distribution):
    """What importlib.metadata says about torch_npu."""

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: torch_npu\nVersion: {version()}\nSummary: The emulated NPU\n"
        return _ENTRY_POINTS if filename == "entry_points.txt" else None

    def locate_file(self, path: str | os.PathLike[str]) -> Path:  # type: ignore[override,unused-ignore]
        return _FOLDER.parent / path


class _FileOfOurs(importlib.machinery.SourceFileLoader):
    """Loads a file, then gives the module what the table has besides."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        surface.complete(module, module.__name__)
        # Importing a part binds it in the package; where a function has the part's name, the function stays, as there.
        for part in surface.parts(module.__name__):
            if part in vars(module):
                function = getattr(module, part)
                importlib.import_module(f"{module.__name__}.{part}")
                setattr(module, part, function)


class _FromTable(importlib.abc.Loader):
    """Makes a module of the table, with what the package around it has of these names."""

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = "A part of the package around it; what that lacks raises when used."
        surface.complete(module, module.__name__, vars(sys.modules[module.__name__.rpartition(".")[0]]))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds torch_npu and its submodules, and nothing else, ahead of whatever is installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "torch_npu":
            return None
        stem = _FOLDER.joinpath(*fullname.split(".")[1:])
        if stem.joinpath("__init__.py").exists():
            loader = _FileOfOurs(fullname, str(stem / "__init__.py"))
            return importlib.util.spec_from_file_location(
                fullname, loader.path, loader=loader, submodule_search_locations=[str(stem)]
            )
        if stem.with_suffix(".py").exists():
            loader = _FileOfOurs(fullname, str(stem.with_suffix(".py")))
            return importlib.util.spec_from_file_location(fullname, loader.path, loader=loader)
        has_parts = bool(surface.parts(fullname))
        if has_parts or fullname in surface.modules():
            return importlib.machinery.ModuleSpec(fullname, _FromTable(), is_package=has_parts)
        return None

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
