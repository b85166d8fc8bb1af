"""Which dotted name an expression means, through every form of import and alias.

import torch as th;  th.cuda.empty_cache       -> torch.cuda.empty_cache
from torch import cuda;  cuda.Stream           -> torch.cuda.Stream
from torch.cuda.amp import autocast            -> torch.cuda.amp.autocast
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cached_property

_IMPORT = (ast.Import, ast.ImportFrom)
_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

#: Read as these modules even without an import in sight, which snippets and star imports leave out, and where a
#: module or object of the program's own hands them on: `from .compat import torch`, `self.torch`.
_UNDERSTOOD = frozenset({"torch", "torch_npu", "os"})


class Names:
    """The names that a unit's imports bind, and the import statements themselves.

    `unaliased` are those that `from ... import` binds as they are, without an `as`.
    """

    def __init__(self, statements: Iterable[ast.stmt]) -> None:
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.bound: dict[str, str] = {}
        self.unaliased: set[str] = set()
        self.defined: set[str] = set()
        self.parameters: set[str] = set()
        self._dotted: dict[ast.AST, str | None] = {}
        for statement in statements:
            if isinstance(statement, _IMPORT):
                self.imports.append(statement)
                self.bound.update(_bindings(statement))
                if isinstance(statement, ast.ImportFrom):
                    self.unaliased.update(alias.name for alias in statement.names if not alias.asname)
            elif isinstance(statement, _DEFINITION):
                self.defined.add(statement.name)
                if not isinstance(statement, ast.ClassDef):
                    self.parameters.update(parameters_of(statement))

    def dotted(self, node: ast.AST) -> str | None:
        """The full dotted name that a chain of attributes means, or None where it is not one."""
        if node not in self._dotted:
            self._dotted[node] = self._look_up(node)
        return self._dotted[node]

    def _look_up(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            if not base and isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr in _UNDERSTOOD:
                return node.attr
            return f"{base}.{node.attr}" if base else None
        if not isinstance(node, ast.Name):
            return None
        understood = node.id in _UNDERSTOOD and node.id not in self.defined
        return self.bound.get(node.id) or (node.id if understood else None)

    def modules(self) -> set[str]:
        """Every module that is imported, whole or in part."""
        found: set[str] = set()
        for statement in self.imports:
            if isinstance(statement, ast.Import):
                found.update(alias.name for alias in statement.names)
            elif statement.module and not statement.level:
                found.add(statement.module)
        return found

    @cached_property
    def packages(self) -> frozenset[str]:
        """The packages that anything is imported from."""
        return frozenset(module.partition(".")[0] for module in self.modules())

    def imports_package(self, package: str) -> bool:
        return package in self.packages


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    every = function.args
    starred = [one for one in (every.vararg, every.kwarg) if one is not None]
    return [one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs, *starred)]


def _bindings(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
            for alias in statement.names
        }
    module = "." * statement.level + (statement.module or "")
    return {
        alias.asname or alias.name: alias.name if alias.name in _UNDERSTOOD else f"{module}.{alias.name}"
        for alias in statement.names
    }
