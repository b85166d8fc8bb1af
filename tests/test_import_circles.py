"""No module imports itself by way of others, wherever in it the imports stand; for types alone it may."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("diffsynth", "npu_compat", "npu_emulator", "porter", "script_trial")


def modules_of(package: str) -> dict[str, Path]:
    """The files of a package by the modules' names; of a package below it, its own name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / package).rglob("*.py")
    }


def imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Those of the known modules that a module names in an import statement, but for types alone."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
            continue
        base = resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            found = [one for one in (f"{base}.{alias.name}", base) if one in known]
            yield from found[:1]


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _imports(child)


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The modules that can be reached from themselves, those of one circle together (Tarjan's components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in arrows[module]:
            if other not in index:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == index[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1 or module in arrows[module]:
                found.append(sorted(component))

    for module in arrows:
        if module not in index:
            visit(module)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_there_are_none(package: str) -> None:
    known = modules_of(package)
    assert len(known) > 3
    arrows = {name: set(imported(name, path, known)) - {name} for name, path in known.items()}
    assert circles(arrows) == []


def test_one_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
