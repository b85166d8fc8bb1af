"""Where the expressions inside an f-string stand, for Pythons before 3.12, whose `ast` gives them wrong columns.

libcst takes the f-string apart; each expression in it is then parsed by itself and laid over the tree's own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

import libcst as cst

from porter.syntax_tree import expression_tree

Spans = dict[ast.AST, tuple[int, int]]

_FIELDS = cst.FormattedStringExpression | cst.TemplatedStringExpression
_NEWLINE = re.compile(rb"\r\n|\r|\n")


def spans_inside(joined: ast.JoinedStr, text: str, start: int) -> Spans:
    """The true byte span of every node below `joined`, whose text begins at byte `start`."""
    spans: Spans = {}
    values = [node for node in _in_source_order(joined) if isinstance(node, ast.FormattedValue)]
    for value, (offset, code) in zip(values, _expressions(text), strict=True):
        begin = start + offset
        again = expression_tree(f"({code})")
        lines = [0, *(match.end() for match in _NEWLINE.finditer(f"({code})".encode()))]
        for old, new in zip(ast.walk(value.value), ast.walk(again), strict=True):
            if not isinstance(new, ast.expr | ast.keyword):
                continue
            first = begin - 1 + lines[new.lineno - 1] + new.col_offset
            last = begin - 1 + lines[(new.end_lineno or 1) - 1] + (new.end_col_offset or 0)
            spans[old] = (first, last)
        for old in ast.walk(value.value):
            if isinstance(old, ast.JoinedStr) and old in spans:
                first, last = spans[old]
                inner = code.encode()[first - begin : last - begin].decode()
                spans |= spans_inside(old, inner, first)
    return spans


def _in_source_order(joined: ast.JoinedStr) -> Iterator[ast.AST]:
    """The replacement fields of one f-string, those in a format specification after the value they format."""
    for value in joined.values:
        if isinstance(value, ast.FormattedValue):
            yield value
            if isinstance(value.format_spec, ast.JoinedStr):
                yield from _in_source_order(value.format_spec)


def _expressions(text: str) -> Iterator[tuple[int, str]]:
    """Byte offset and code of every replacement field's expression, in the same order."""
    yield from _Fields(text).within(cst.parse_expression(f"({text})"), -1)


class _Fields:
    """The replacement fields in the nodes of one text, which begin at the byte `offset` of it."""

    def __init__(self, text: str) -> None:
        # libcst takes the first line ending for the usual one, and writes that where it has noted none
        first = _NEWLINE.search(text.encode())
        self._code = cst.Module([], default_newline=first[0].decode() if first else "\n").code_for_node

    def within(self, node: cst.CSTNode, offset: int) -> Iterator[tuple[int, str]]:
        if isinstance(node, _FIELDS):
            before = "{" + self._code(node.whitespace_before_expression)
            yield offset + len(before.encode()), self._code(node.expression)
            if node.format_spec is not None:
                tail = "".join(map(self._code, node.format_spec)) + "}"
                offset += len(self._code(node).encode()) - len(tail.encode())
                yield from self._parts(node.format_spec, offset)
        elif isinstance(node, cst.FormattedString | cst.TemplatedString):
            yield from self._parts(node.parts, offset + len((self._opening(node) + node.start).encode()))
        elif isinstance(node, cst.ConcatenatedString):
            offset += len(self._opening(node).encode())
            yield from self.within(node.left, offset)
            between = self._code(node.left) + self._code(node.whitespace_between)
            yield from self.within(node.right, offset + len(between.encode()))

    def _parts(self, parts: Sequence[cst.CSTNode], offset: int) -> Iterator[tuple[int, str]]:
        for part in parts:
            yield from self.within(part, offset)
            offset += len(self._code(part).encode())

    def _opening(self, node: cst.BaseExpression) -> str:
        return "".join("(" + self._code(one.whitespace_after) for one in node.lpar)
