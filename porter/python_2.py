"""Python 2 that Python 3 can parse too, with another meaning.

print >>sys.stderr, "failed"
exec (code) in scope
"""

from __future__ import annotations

import ast
import re

_MAYBE = re.compile(r"\bprint\s*>>|\bexec\s*\([^\n]*\)\s*in\b")


def python_2_in(text: str, tree: ast.Module) -> tuple[str, int] | None:
    """The first such statement, by the word that begins it, and its line, from 1."""
    if (">>" not in text and "exec" not in text) or not _MAYBE.search(text):  # the first two cost next to nothing
        return None
    found = (
        (word, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Expr) and (word := _word(node.value))
    )
    return min(found, key=lambda one: one[1], default=None)


def _word(value: ast.expr) -> str:
    match value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value:
        case ast.BinOp(left=ast.Name(id="print"), op=ast.RShift()):
            return "print"
        case ast.Compare(left=ast.Call(func=ast.Name(id="exec")), ops=[ast.In()]):
            return "exec"
        case _:
            return ""
