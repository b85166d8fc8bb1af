"""Bash, by a real grammar. Importing the parser costs time, so it is imported where a script needs it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from porter.source import CannotParse

if TYPE_CHECKING:
    from tree_sitter import Node, Parser


#: What stands between commands.
_BETWEEN = ("\n", ";", "&")


def parse(data: bytes) -> Node:
    """The syntax tree. Raises CannotParse at the first line that the grammar has no meaning for.

    A file may end without a newline, or in a backslash; the grammar wants a line behind both.
    """
    root = _parser().parse(data + b"\n\n").root_node
    if root.has_error:
        wrong = _first_wrong(root)
        if wrong is None:
            raise CannotParse("not bash as its grammar has it: it cannot be made out where")
        raise CannotParse(_message(wrong, data), min(wrong.start_point.row, data.count(b"\n")) + 1)
    return root


def walk(top: Node) -> Iterator[Node]:
    """Every node below one and itself, parents before children, in the order of the text."""
    stack = [top]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def text_of(node: Node) -> str:
    """What stands in the file, as it stands there."""
    return (node.text or b"").decode("utf-8")


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def _first_wrong(root: Node) -> Node | None:
    """Where the grammar failed: what is missing, or the first word that belongs to nothing."""
    wrong = next((node for node in walk(root) if node.is_missing or node.is_error), None)
    while wrong is not None and wrong.is_error and any(child.is_named for child in wrong.children):
        stray = (child for child in wrong.children if child.is_error or not (child.is_named or child.type in _BETWEEN))
        inner = next(stray, None)
        if inner is None:
            break
        wrong = inner
    return wrong


def _message(wrong: Node, data: bytes) -> str:
    if wrong.is_missing:
        return f"not bash as its grammar has it: {wrong.type!r} is missing"
    beginning = data[wrong.start_byte : wrong.end_byte].decode("utf-8", "replace").split("\n")[0].strip()
    return f"not bash as its grammar has it, at {beginning[:40]!r}" if beginning else "not bash as its grammar has it"
