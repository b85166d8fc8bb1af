"""Where the expressions inside an f-string stand, for Pythons before 3.12, whose `ast` gives them wrong columns.

libcst takes the f-string apart; each expression in it is then parsed by itself and laid over the tree's own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import libcst as cst

Spans = dict[ast.AST, tuple[int, int]]

_CODE = cst.Module([])
_FIELDS = cst.FormattedStringExpression | cst.TemplatedStringExpression
_NEWLINE = re.compile(rb"\r\n|\r|\n")


def spans_inside(joined: ast.JoinedStr, text: str, start: int) -> Spans:
    """The true byte span of every node below `joined`, whose text begins at byte `start`."""
    spans: Spans = {}
    values = [node for node in _in_source_order(joined) if isinstance(node, ast.FormattedValue)]
    for value, (offset, code) in zip(values, _expressions(text), strict=True):
        begin = start + offset
        again = ast.parse(f"({code})", mode="eval").body
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
    yield from _within(cst.parse_expression(f"({text})"), -1)


def _within(node: cst.CSTNode, offset: int) -> Iterator[tuple[int, str]]:
    if isinstance(node, _FIELDS):
        code = _CODE.code_for_node(node.expression)
        before = "{" + _CODE.code_for_node(node.whitespace_before_expression)
        yield offset + len(before.encode()), code
        if node.format_spec is not None:
            tail = "".join(_CODE.code_for_node(part) for part in node.format_spec) + "}"
            offset += len(_CODE.code_for_node(node).encode()) - len(tail.encode())
            yield from _parts(node.format_spec, offset)
    elif isinstance(node, cst.FormattedString | cst.TemplatedString):
        opening = "".join("(" + _CODE.code_for_node(p.whitespace_after) for p in node.lpar) + node.start
        yield from _parts(node.parts, offset + len(opening.encode()))
    elif isinstance(node, cst.ConcatenatedString):
        opening = "".join("(" + _CODE.code_for_node(p.whitespace_after) for p in node.lpar)
        offset += len(opening.encode())
        yield from _within(node.left, offset)
        between = _CODE.code_for_node(node.left) + _CODE.code_for_node(node.whitespace_between)
        yield from _within(node.right, offset + len(between.encode()))


def _parts(parts: object, offset: int) -> Iterator[tuple[int, str]]:
    assert isinstance(parts, tuple | list)
    for part in parts:
        yield from _within(part, offset)
        offset += len(_CODE.code_for_node(part).encode())
