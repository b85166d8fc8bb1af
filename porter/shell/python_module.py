"""One Python file: what it defines at its top, and which files its imports lead to. Nothing is imported."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from porter.shell.script_file import folders_above
from porter.source import CannotParse, parse

Found = tuple[ast.stmt, "PythonModule"]


@dataclass(frozen=True)
class _Binding:
    """That an import may bind a name: `module` as seen from `level` folders up, and what the name is called there."""

    module: str
    level: int
    name: str


class PythonModule:
    """The file at `path`."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self.path = path
        self.tree = tree
        self._defined = {name: node for node in tree.body for name in _names_defined(node)}
        self._imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]

    def defined(self, name: str) -> ast.stmt | None:
        """The statement at the top of the file that defines a name."""
        return self._defined.get(name)

    def definitions_of(self, dotted: str, asked: frozenset[tuple[str, str]] = frozenset()) -> Iterator[Found]:
        """What a dotted name means here, through the imports of this file and of those they lead to."""
        own = self._defined.get(dotted.partition(".")[0])
        if own is not None:
            yield own, self
            return
        if (self.path, dotted) in asked:
            return
        asked |= {(self.path, dotted)}
        for binding in self._bindings(dotted):
            for path in self._files(binding):
                module = module_at(path)
                if module is not None and binding.name:
                    yield from module.definitions_of(binding.name, asked)

    def definitions_at(self, path: str) -> Iterator[Found]:
        """What a class or function is that is named by its whole path, `package.module.Name`."""
        module, _, name = path.rpartition(".")
        for file in self._files(_Binding(module, 0, name)):
            found = module_at(file)
            if found is not None:
                yield from found.definitions_of(name)

    def imports_from_elsewhere(self, dotted: str) -> bool:
        """Whether a name comes from a module, not of Python's own, that is not to be found."""
        bindings = [one for one in self._bindings(dotted) if one.module.split(".")[0] not in sys.stdlib_module_names]
        return bool(bindings) and not any(True for one in bindings for _ in self._files(one))

    def _bindings(self, dotted: str) -> Iterator[_Binding]:
        first, _, rest = dotted.partition(".")
        for statement in self._imports:
            for alias in statement.names:
                if isinstance(statement, ast.ImportFrom):
                    yield from _from(statement, alias, first, rest)
                elif alias.asname == first:
                    yield _Binding(alias.name, 0, rest)
                elif alias.asname is None and f"{dotted}.".startswith(f"{alias.name}."):
                    yield _Binding(alias.name, 0, dotted[len(alias.name) + 1 :])

    def _files(self, binding: _Binding) -> Iterator[str]:
        """The file of a module: of several folders that have it, the first."""
        if not binding.level and binding.module.split(".")[0] in sys.stdlib_module_names:
            return
        for base in self._bases(binding.level):
            path = os.path.join(base, *binding.module.split("."))
            for file in (path.rstrip(os.sep) + ".py", os.path.join(path, "__init__.py")):
                if os.path.isfile(file):
                    yield file
                    return

    def _bases(self, level: int) -> list[str]:
        """Where modules are looked for: beside the file, above it, and where installed ones are."""
        folder = os.path.dirname(self.path)
        if not level:
            return [*folders_above(folder), *filter(os.path.isdir, sys.path)]
        for _ in range(level - 1):
            folder = os.path.dirname(folder)
        return [folder]


@cache
def module_at(path: str) -> PythonModule | None:
    """The file at an absolute path; None if it is no Python that can be read."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return PythonModule(path, parse(file.read()))
    except (OSError, ValueError, CannotParse, RecursionError):
        return None


def _from(statement: ast.ImportFrom, alias: ast.alias, first: str, rest: str) -> Iterator[_Binding]:
    """`from module import name`, of which the name may be a module again, and `from module import *`."""
    module, level = statement.module or "", statement.level
    if alias.name == "*":
        yield _Binding(module, level, f"{first}.{rest}".rstrip("."))
    elif (alias.asname or alias.name) == first:
        yield _Binding(module, level, f"{alias.name}.{rest}".rstrip("."))
        if rest:
            yield _Binding(f"{module}.{alias.name}".lstrip("."), level, rest)


def _names_defined(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []
