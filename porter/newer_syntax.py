"""Let the running Python's `ast` read syntax that is newer than itself.

libcst knows every syntax up to its own release. It finds each newer construct, which is then overwritten by an
older one of exactly the same length, so that every other node keeps its place:

    type Pair[T] = tuple[T, T]     ->  type;Pair    = tuple[T, T]
    except* OSError:               ->  except  OSError:
    except OSError, ValueError:    ->  except OSError| ValueError:
    f"cuda:{ranks["local"]}"       ->  f"cuda:{ranks['local']}"
    lazy import json               ->  lazy;import json

The tree is only searched; what is written to disk comes from the text as it stands.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from itertools import pairwise

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from porter.refused_texts import NESTS_TOO_DEEPLY, CannotParse, too_long_a_chain
from porter.syntax_tree import syntax_tree

#: libcst takes 13 seconds and a gigabyte of memory for each million characters.
_MOST_CHARACTERS = 2**20

_QUOTES = {'"': "'", "'": '"'}
_PYTHON_2 = re.compile(r"^\s*(?:print|exec)\s+(?:[\"'\w]|>>)|`|<>|\b0\d+\b|^\s*raise\s+\w+\s*,", re.MULTILINE)
_PYTHON_2_TOKEN = re.compile("tokenizer error: (?:'`'|leading zeros)")


def parse_newer(text: str, error: SyntaxError) -> ast.Module:
    """The tree of a text that `ast.parse` refused with `error`. Raises CannotParse."""
    if too_long_a_chain(text):
        raise CannotParse(NESTS_TOO_DEEPLY)
    if len(text) > _MOST_CHARACTERS:
        raise CannotParse(f"{_refusal(text, error)}; too long to be tried as newer syntax", error.lineno)
    try:
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        older = _Older(text)
        wrapper.visit(older)
    except RecursionError:
        raise CannotParse(NESTS_TOO_DEEPLY) from None
    except Exception as refused:  # libcst raises several unrelated types for what it cannot read
        raise CannotParse(_refusal(text, error, refused), error.lineno) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return syntax_tree(bytes(older.data).decode("utf-8"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise CannotParse(_refusal(text, error), error.lineno) from None


def _refusal(text: str, error: SyntaxError, refused: Exception | None = None) -> str:
    """What is wrong: Python's own word, unless it or libcst has stumbled over Python 2."""
    lines = re.split(r"\r\n|\r|\n", text)
    numbers = (error.lineno, getattr(refused, "raw_line", None))
    suspects = [lines[number - 1] for number in numbers if number and number <= len(lines)]
    if (
        _PYTHON_2_TOKEN.search(str(refused))
        or "Missing parentheses in call" in error.msg
        or any(_PYTHON_2.search(line) for line in suspects)
    ):
        return f"Python 2 source ({error.msg}): convert it to Python 3 first"
    return f"syntax error: {error.msg}"


class _Older(cst.CSTVisitor):
    """Overwrites, in `data`, what the running Python cannot read."""

    METADATA_DEPENDENCIES = (ByteSpanPositionProvider,)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.data = bytearray(text.encode("utf-8"))

    def visit_TypeParameters(self, node: cst.TypeParameters) -> None:
        self._blank(*self._span(node))

    def visit_TypeAlias(self, node: cst.TypeAlias) -> None:
        start, _ = self._span(node)
        self.data[start + 4 : start + 5] = b";"

    def visit_ExceptStarHandler(self, node: cst.ExceptStarHandler) -> None:
        start, _ = self._span(node)
        self._blank(star := self.data.index(b"*", start), star + 1)

    def visit_ExceptHandler(self, node: cst.ExceptHandler) -> None:
        if isinstance(node.type, cst.Tuple) and not node.type.lpar:
            elements = node.type.elements
            for left, right in pairwise(elements):
                (_, start), (end, _) = self._span(left.value), self._span(right.value)
                self.data[start:end] = self.data[start:end].replace(b",", b"|")

    def visit_Index(self, node: cst.Index) -> None:
        if node.star == "*":
            self._blank_star_before(node.value)

    def visit_Annotation(self, node: cst.Annotation) -> None:
        if isinstance(node.annotation, cst.StarredElement):
            self._blank_star_before(node.annotation.value)

    def visit_LazyImport(self, node: cst.CSTNode) -> None:
        self._part_lazy_from_import(node)

    def visit_LazyImportFrom(self, node: cst.CSTNode) -> None:
        self._part_lazy_from_import(node)

    def visit_TemplatedString(self, node: cst.TemplatedString) -> None:
        start, _ = self._span(node)
        at = start + node.start.lower().index("t")
        self.data[at : at + 1] = b"f"
        self._make_readable(node)

    def visit_FormattedString(self, node: cst.FormattedString) -> None:
        self._make_readable(node)

    def _make_readable(self, node: cst.FormattedString | cst.TemplatedString) -> None:
        """Nested quotes become the other kind; failing that, the f-string becomes a tuple of what it formats."""
        if sys.version_info >= (3, 12):
            return
        start, end = self._span(node)
        if _parses(self.data[start:end]):
            return
        outer = node.end[0]
        for string in _strings_within(node):
            raw = string.value
            if raw.endswith(outer) and not raw.endswith(outer * 3) and _QUOTES[outer] not in raw:
                first, last = self._span(string)
                self.data[first:last] = raw.replace(outer, _QUOTES[outer]).encode("utf-8")
        if not _parses(self.data[start:end]):
            self._become_tuple(node, start, end)

    def _become_tuple(self, node: cst.CSTNode, start: int, end: int) -> None:
        kept = bytes(self.data)
        self._blank(start, end)
        self.data[start : start + 1], self.data[end - 1 : end] = b"(", b")"
        for field in _fields_within(node):
            first, last = self._span(field)
            self.data[first:last] = kept[first:last]
            self.data[last : last + 1] = b","

    def _part_lazy_from_import(self, node: cst.CSTNode) -> None:
        start, _ = self._span(node)
        self.data[start + 4 : start + 5] = b";"

    def _blank_star_before(self, node: cst.CSTNode) -> None:
        start, _ = self._span(node)
        self._blank(star := self.data.rindex(b"*", 0, start), star + 1)

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        span = self.get_metadata(ByteSpanPositionProvider, node)
        return span.start, span.start + span.length

    def _blank(self, start: int, end: int) -> None:
        self.data[start:end] = re.sub(rb"[^\r\n]", b" ", self.data[start:end])


def _parses(code: bytes | bytearray) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            syntax_tree(b"(" + bytes(code) + b")")
        except SyntaxError:
            return False
        return True


def _strings_within(node: cst.CSTNode) -> list[cst.SimpleString]:
    found: list[cst.SimpleString] = []
    for child in node.children:
        found.extend([child] if isinstance(child, cst.SimpleString) else _strings_within(child))
    return found


def _fields_within(node: cst.CSTNode) -> list[cst.BaseExpression]:
    """What the replacement fields hold, those of the format specifications too."""
    found: list[cst.BaseExpression] = []
    for child in node.children:
        if isinstance(child, cst.FormattedStringExpression | cst.TemplatedStringExpression):
            found.append(child.expression)
            for part in child.format_spec or ():
                found.extend(_fields_within(part))
                if isinstance(part, cst.FormattedStringExpression | cst.TemplatedStringExpression):
                    found.append(part.expression)
    return found
