"""Python's own syntax trees, made by one thread after the other.

Python 3.11 counts how deep a tree goes for all threads together. Where the garbage collector lets another thread in
while a tree is made, either raises a SystemError, "AST constructor recursion depth mismatch".
"""

from __future__ import annotations

import ast
import threading

_TURN = threading.RLock()  # a finalizer may want a tree as well


def syntax_tree(source: str | bytes) -> ast.Module:
    """Of a module. Raises what `ast.parse` does."""
    with _TURN:
        return ast.parse(source)


def expression_tree(source: str) -> ast.expr:
    """Of an expression. Raises what `ast.parse` does."""
    with _TURN:
        return ast.parse(source, mode="eval").body
