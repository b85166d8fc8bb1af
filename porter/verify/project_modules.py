"""The modules of its own project that a script imports: beside it, and in the folders above, as far as its text says.

project/
  nets/                 imported by tools/train.py after sys.path.append(".."), or where the project is installed
  tools/
    train.py
    helpers.py          imported from where the script lies
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from porter.shell.script_file import folders_above
from porter.syntax_tree import syntax_tree
from script_trial.known_adapters import libraries

_MOST_FILES = 200

#: Folders above a script in which its project is looked for.
_MOST_ABOVE = 3

_IMPORTERS = ("import_module", "__import__")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class ProjectModules:
    """What a script imports of its project.

    Attributes:
        files: of packages all, whatever is imported of them.
        folders: from which they are imported, the script's own or, for one that runs as a module, its package's first.
        module: what the script is called as a module, if it can run as one alone: it imports relatively.
    """

    files: frozenset[str]
    folders: tuple[str, ...]
    module: str | None

    @property
    def top(self) -> str:
        return os.path.commonpath(self.folders)


def project_modules(script: str, data: bytes) -> ProjectModules:
    """What a script at this path with this text imports of its project."""
    own = os.path.dirname(os.path.abspath(script))
    tree = _parsed(data)
    level = max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)
    first = _package_folder(own, level) if level else own
    name = os.path.splitext(os.path.relpath(os.path.abspath(script), first))[0].replace(os.sep, ".")
    files = set(_modules(os.path.join(first, name.partition(".")[0]))) if level else set()
    folders = [first, *_above(first)]
    used = {first}
    waiting = [tree, *map(_parsed_file, sorted(files))]
    comes_first = any(map(_puts_a_folder_first, ast.walk(tree)))
    while waiting and len(files) < _MOST_FILES:
        for imported in sorted(_imported_names(waiting.pop()) - libraries()):
            for folder in folders if imported not in sys.stdlib_module_names else folders[:1]:
                found = list(_modules(os.path.join(folder, imported)))
                if found and (folder == first or comes_first or not _is_installed(imported, folder)):
                    used.add(folder)
                    waiting += [_parsed_file(path) for path in found if path not in files]
                    files.update(found)
                    break
    in_order = tuple(folder for folder in folders if folder in used)
    return ProjectModules(frozenset(sorted(files)[:_MOST_FILES]), in_order, name if level else None)


def _package_folder(own: str, level: int) -> str:
    """The folder that holds the outermost package of a folder's modules, `level` dots of which are asked for."""
    folder = own
    for _ in range(level):
        folder = os.path.dirname(folder)
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    return folder


def _above(folder: str) -> list[str]:
    """The folders above, up to the root of the project: no farther than the user's own."""
    _, *above = folders_above(folder)
    return [one for one in above[:_MOST_ABOVE] if one not in (os.path.expanduser("~"), os.path.abspath(os.sep))]


def _puts_a_folder_first(node: ast.AST) -> bool:
    """`sys.path.insert(0, ...)`, or `sys.path` set anew: what lies there goes before what is installed."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "insert":
        return ast.unparse(node.func.value) == "sys.path"
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(ast.unparse(target).startswith("sys.path") for target in targets)


def _is_installed(name: str, folder: str) -> bool:
    """Whether an import finds this module elsewhere than in a folder: then the script means that one."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return False
    places = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or ())]
    return any(os.path.isabs(place) and not place.startswith(folder + os.sep) for place in places)


def _parsed(data: bytes) -> ast.Module:
    try:
        return syntax_tree(data)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _parsed_file(path: str) -> ast.Module:
    return _parsed(Path(path).read_bytes())


def _imported_names(tree: ast.Module) -> set[str]:
    """Names of top-level modules, also of those that are imported by a text, or may be."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
        elif isinstance(node, ast.Call) and node.args and _name_of(node.func) in _IMPORTERS:
            names |= {begin for begin in _beginnings(node.args[0]) if not begin.startswith(".")}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            names.add(node.value)
    return {name.partition(".")[0] for name in names if name}


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _beginnings(text: ast.expr) -> Iterator[str]:
    """How a text begins: of one that is put together the first part, if a dot ends it as a name."""
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        yield text.value
    elif isinstance(text, ast.JoinedStr) and text.values:
        yield from (begin for begin in _beginnings(text.values[0]) if "." in begin)
    elif isinstance(text, ast.BinOp):
        yield from (begin for begin in _beginnings(text.left) if "." in begin)


def _modules(place: str) -> Iterator[str]:
    """The files of a module, which may be a package."""
    if os.path.isfile(f"{place}.py"):
        yield f"{place}.py"
    elif os.path.isdir(place):
        yield from (str(path) for path in sorted(Path(place).rglob("*.py")) if path.is_file())
