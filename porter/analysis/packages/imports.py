"""Which third-party packages the files of a run import, and where first."""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from porter.files import read_file
from porter.syntax_tree import syntax_tree


class Import(NamedTuple):
    """The first import of a package: the file as shown, the line and column from 1, and where the statement ends."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int


NOWHERE = Import("", 1, 1, 1, 1)


def imported_packages(paths: Iterable[str]) -> dict[str, Import]:
    """By the package's name. Those of Python itself and of the tree are left out; a file that cannot be read is too."""
    paths = list(paths)
    own = {part for path in paths for part in _module_names(path)}
    found: dict[str, Import] = {}
    for path in paths:
        for name, node in _imports(path):
            if name not in own and name not in sys.stdlib_module_names and name not in found:
                end = node.end_lineno or node.lineno, (node.end_col_offset or 0) + 1
                found[name] = Import(path.replace(os.sep, "/"), node.lineno, node.col_offset + 1, *end)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _module_names(path: str) -> set[str]:
    """What a file may be imported by: its own name, and those of the folders around it that are packages."""
    folder, name = os.path.split(path)
    names = {os.path.splitext(name)[0]}
    while folder and (base := os.path.basename(folder)):
        names.add(base)
        folder = os.path.dirname(folder)
    return names


def _imports(path: str) -> Iterator[tuple[str, ast.Import | ast.ImportFrom]]:
    try:
        data, _ = read_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = syntax_tree(data)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node
