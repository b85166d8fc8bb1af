"""Modules of torch that are not loaded yet: patched right after their import, so activating loads none of them."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


class _Loader(importlib.abc.Loader):
    """The module's own loader, and a call afterwards."""

    def __init__(self, loader: Any, after: Callable[[str], None]) -> None:
        self._loader, self._after = loader, after

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._after(module.__name__)


@dataclass(eq=False)
class LateImports(importlib.abc.MetaPathFinder):
    """A finder that knows the modules in ``waiting`` and calls ``after`` with the name of each once it is loaded."""

    waiting: set[str]
    after: Callable[[str], None]
    label: str = "modules of torch that are loaded later"
    _searching: set[str] = field(default_factory=set)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.waiting or fullname in self._searching:
            return None
        self._searching.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.after)
        return spec

    def apply(self) -> Callable[[], None]:
        """Puts the finder first."""
        sys.meta_path.insert(0, self)
        return lambda: sys.meta_path.remove(self)

    def in_force(self) -> bool:
        return self in sys.meta_path
