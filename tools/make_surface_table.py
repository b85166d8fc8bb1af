"""Rebuild accelerator_tables/torch_npu_surface.json: what the Python files of a torch_npu wheel define.

    pip download --no-deps --only-binary=:all: torch_npu==2.14.0
    python tools/make_surface_table.py torch_npu-2.14.0-*.whl

The wheel is read, not imported: its files need the vendor's libraries. For every public module the table has the public
names (those of ``__all__``, else those it defines), whether each is a function, a class or a value, the parameters with
their defaults as the source has them, and the public methods and properties of classes.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "accelerator_tables" / "torch_npu_surface.json"

# Machinery inside the wheel that no program imports: the graph compiler's converters, the trace parser.
INTERNAL = (
    "torch_npu.dynamo.torchair.",
    "torch_npu.dynamo.npugraph_ex.",
    "torch_npu.profiler.analysis",
    "torch_npu.op_plugin",
)
# The module that exports names at run time, and the table in it: name -> (module, name there).
EXPORTS = ("torch_npu._init.core._exports", "_LAZY_PYTHON_SYMBOLS")

Entry = dict[str, Any]


class Wheel:
    """The modules of a wheel by name, each parsed when asked for."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.sources = {
                _module_name(name): archive.read(name).decode("utf-8")
                for name in archive.namelist()
                if name.startswith("torch_npu/") and name.endswith(".py")
            }
            self.packages = {_module_name(name) for name in archive.namelist() if name.endswith("/__init__.py")}
        self._trees: dict[str, ast.Module] = {}
        self._exported = self._exported_at_run_time()

    def tree(self, module: str) -> ast.Module:
        """The parsed source of ``module``."""
        if module not in self._trees:
            self._trees[module] = ast.parse(self.sources[module])
        return self._trees[module]

    def public_modules(self) -> list[str]:
        """Modules without a private part in their name, but for those no program imports."""
        return sorted(
            module
            for module in self.sources
            if not any(part.startswith("_") for part in module.split(".")) and not module.startswith(INTERNAL)
        )

    def definition(self, module: str, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> ast.stmt | None:
        """Where ``module`` gets ``name`` from: a def, a class or an assignment, followed through imports."""
        if module == "torch_npu" and name in self._exported:
            return self.definition(*self._exported[name], seen)
        if module not in self.sources or (module, name) in seen:
            return None
        seen |= {(module, name)}
        for node in reversed(list(_top_level(self.tree(module).body))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
                return node
            if name in _assigned(node):
                return self._alias(module, node, seen) or node
            if isinstance(node, ast.ImportFrom):
                source = self._imported_module(module, node)
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self.definition(source, alias.name, seen)
                    if alias.name == "*" and (found := self.definition(source, name, seen)) is not None:
                        return found
        return None

    def _exported_at_run_time(self) -> dict[str, tuple[str, str]]:
        module, table = EXPORTS
        assigned = [
            node for node in self.tree(module).body if isinstance(node, ast.Assign) and table in _assigned(node)
        ]
        exported: dict[str, tuple[str, str]] = ast.literal_eval(assigned[0].value) if assigned else {}
        return exported

    def _alias(self, module: str, node: ast.stmt, seen: frozenset[tuple[str, str]]) -> ast.stmt | None:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            return self.definition(module, node.value.id, seen)
        return None

    def _imported_module(self, module: str, node: ast.ImportFrom) -> str:
        base = module.split(".") if module in self.packages else module.split(".")[:-1]
        parts = base[: len(base) - node.level + 1] if node.level else []
        return ".".join([*parts, *([node.module] if node.module else [])])


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            yield from _top_level(node.body)
            yield from _top_level(node.orelse)


def _assigned(node: ast.stmt) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def public_names(wheel: Wheel, module: str) -> list[str]:
    """The names of ``__all__``; without one, the public functions and classes the module defines."""
    declared: list[str] | None = None
    defined = []
    for node in _top_level(wheel.tree(module).body):
        if "__all__" in _assigned(node) and isinstance(node, ast.Assign):
            declared = [*_strings(node.value), *_listed_elsewhere(wheel, module, node.value)]
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == "__all__":
            declared = [*(declared or ()), *_strings(node.value), *_listed_elsewhere(wheel, module, node.value)]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            defined.append(node.name)
    return sorted(set(defined if declared is None else declared))


def _strings(node: ast.expr) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _listed_elsewhere(wheel: Wheel, module: str, node: ast.expr) -> list[str]:
    """``__all__ += other.__all__`` of a submodule."""
    lists = [n.value.id for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    return [name for part in lists for name in _names_of(wheel, f"{module}.{part}")]


def _names_of(wheel: Wheel, module: str) -> list[str]:
    return public_names(wheel, module) if module in wheel.sources else []


def describe(node: ast.stmt | None) -> Entry:
    """Kind of a definition, and its parameters and members."""
    if isinstance(node, ast.FunctionDef):
        return {"kind": "function", "parameters": _parameters(node.args)}
    if isinstance(node, ast.ClassDef):
        return _describe_class(node)
    return {"kind": "value"}


def _describe_class(node: ast.ClassDef) -> Entry:
    entry: Entry = {"kind": "class"}
    members: dict[str, str] = {}
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            if part.name in ("__init__", "__new__"):
                entry["parameters"] = _parameters(part.args, skip=1)
            elif not part.name.startswith("_"):
                decorators = {ast.unparse(decorator) for decorator in part.decorator_list}
                is_property = any(d.rpartition(".")[2] in ("property", "setter", "classproperty") for d in decorators)
                skip = 0 if "staticmethod" in decorators else 1
                members[part.name] = "property" if is_property else _parameters(part.args, skip)
        else:
            members |= {name: "value" for name in _assigned(part) if not name.startswith("_")}
    return entry | ({"members": dict(sorted(members.items()))} if members else {})


def _parameters(arguments: ast.arguments, skip: int = 0) -> str:
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    positional = [*arguments.posonlyargs, *arguments.args][skip:]
    defaults = arguments.defaults[-len(positional) :] if positional else []
    bare = ast.arguments(
        [], positional, arguments.vararg, arguments.kwonlyargs, arguments.kw_defaults, arguments.kwarg, defaults
    )
    return ast.unparse(bare)


def surface(wheel: Wheel) -> dict[str, dict[str, Entry]]:
    """Every public module with its public names."""
    return {
        module: {name: describe(wheel.definition(module, name)) for name in public_names(wheel, module)}
        for module in wheel.public_modules()
    }


def written(table: Entry) -> str:
    """The table as JSON, one name a line."""
    modules = []
    for module, names in table["modules"].items():
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(entry)}" for name, entry in names.items())
        modules.append(f"  {json.dumps(module)}: {{\n{lines}\n  }}" if lines else f"  {json.dumps(module)}: {{}}")
    return f'{{\n "torch_npu": {json.dumps(table["torch_npu"])},\n "modules": {{\n' + ",\n".join(modules) + "\n }\n}\n"


def main(arguments: list[str]) -> int:
    """Writes the table; returns 2 on bad input."""
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        print("usage: python tools/make_surface_table.py TORCH_NPU_WHEEL", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    table = {"torch_npu": path.name.split("-")[1], "modules": surface(Wheel(path))}
    TABLE.write_text(written(table), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
