"""Whether a program can do without something that it imports or calls.

try: ... except ImportError: ...     if is_xformers_available(): ...     if TYPE_CHECKING: ...
if hasattr(torch.npu, "ExternalStream"): ...     except AttributeError: ...     if torch_npu.__version__ > ...: ...
"""

from __future__ import annotations

import ast
import re
from enum import Enum, auto

from porter.places import label_of
from porter.source import Source
from porter.unit import Unit


class Guard(Enum):
    """What becomes of a program that cannot import something: it stops, goes on without it, or never tries."""

    NONE = auto()
    MAY_FAIL = auto()
    NEVER_RUN = auto()


def guard_around(node: ast.AST, unit: Unit) -> Guard:
    """What the statements around an import make of its failure. A function's body is judged by itself."""
    child = node
    for parent in unit.source.ancestors(node):
        match parent:
            case ast.If() if child is not parent.test:
                asked = _names_asked(parent.test, unit)
                if child in parent.body and "TYPE_CHECKING" in asked:
                    return Guard.NEVER_RUN
                if child in parent.body and any(_asks_for_a_package(name) for name in asked):
                    return Guard.MAY_FAIL
                if child in parent.orelse and any(unit.translation.new.name in name.lower() for name in asked):
                    return Guard.MAY_FAIL
            case ast.Try() if child in parent.body and any(_catches_imports(h) for h in parent.handlers):
                return Guard.MAY_FAIL
            case ast.With() if any(_suppresses_imports(item.context_expr) for item in parent.items):
                return Guard.MAY_FAIL
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return Guard.NONE
        child = parent
    return Guard.NONE


def function_nobody_calls(node: ast.AST, unit: Unit) -> str | None:
    """The name of the outermost function around, if the file names it nowhere else; other files may still call it."""
    functions = [one for one in unit.source.ancestors(node) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not functions or functions[-1].decorator_list:
        return None
    name = functions[-1].name
    is_special = name.startswith("__") and name.endswith("__")
    return None if is_special or len(re.findall(rf"\b{name}\b", unit.source.text)) > 1 else name


def is_asked_for(node: ast.AST, name: str, unit: Unit) -> bool:
    """Whether the program looks first whether there is a `name`, or which version it runs on, or stands its absence."""
    return is_asked_for_in(unit.source, node, name)


def is_asked_for_in(source: Source, node: ast.AST, name: str) -> bool:
    """The same of a node of a source."""
    child = node
    for parent in source.ancestors(node):
        match parent:
            case ast.If(test=test) | ast.IfExp(test=test) if child is not test and _asks_for(test, name):
                return True
            case ast.BoolOp(values=values) if any(_asks_for(one, name) for one in _before(child, values)):
                return True
            case ast.Try() if child in parent.body and any(_stands_absence(h) for h in parent.handlers):
                return True
            case ast.Call() if child in parent.args and label_of(parent.func) in ("hasattr", "getattr"):
                return True
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return False
        child = parent
    return False


def _before(child: ast.AST, values: list[ast.expr]) -> list[ast.expr]:
    return values[: [one is child for one in values].index(True)]


def _asks_for(test: ast.expr, name: str) -> bool:
    for part in ast.walk(test):
        if isinstance(part, ast.Name | ast.Attribute) and "version" in label_of(part).lower():
            return True
        if isinstance(part, ast.Call) and label_of(part.func) in ("hasattr", "getattr") and _holds(part.args, name):
            return True
    return False


def _holds(values: list[ast.expr], text: str) -> bool:
    return any(isinstance(one, ast.Constant) and one.value == text for one in values)


def _stands_absence(handler: ast.ExceptHandler) -> bool:
    """Whether it catches what a missing name or parameter raises, and goes on."""
    if any(isinstance(statement, ast.Raise) for statement in handler.body):
        return False
    caught = [label_of(part) for part in ast.walk(handler.type)] if handler.type else ["Exception"]
    return not {"AttributeError", "TypeError", "ImportError", "Exception", "BaseException"}.isdisjoint(caught)


def _names_asked(test: ast.expr, unit: Unit) -> set[str]:
    """The names in a condition, but for torch's own: `torch.cuda.is_available()` holds there once it is ported."""
    names = [part for part in ast.walk(test) if isinstance(part, ast.Name | ast.Attribute)]
    return {label_of(name) for name in names if not (unit.dotted(name) or "").startswith("torch.")}


def _asks_for_a_package(name: str) -> bool:
    name = name.lower()
    return name == "find_spec" or name.startswith(("has_", "have_", "use_")) or name.endswith("available")


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    """A handler that raises again is none."""
    if any(isinstance(statement, ast.Raise) for statement in handler.body):
        return False
    return handler.type is None or any(_is_import_error(part) for part in ast.walk(handler.type))


def _suppresses_imports(context: ast.expr) -> bool:
    return (
        isinstance(context, ast.Call)
        and label_of(context.func) == "suppress"
        and any(_is_import_error(part) for part in context.args)
    )


def _is_import_error(node: ast.AST) -> bool:
    return label_of(node) in ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
