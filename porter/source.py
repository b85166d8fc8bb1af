"""A piece of Python source, parsed: where its nodes stand, what surrounds them, which names mean what.

Everything is counted in bytes of the UTF-8 text, as `ast` counts columns; an edit is a span of those bytes.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import accumulate
from keyword import iskeyword

from porter.changes import Change, apply
from porter.comments import python_comments
from porter.names import Names, parameters_of
from porter.refused_texts import NESTS_TOO_DEEPLY, python_2_in, too_deep_at
from porter.refused_texts import CannotParse as CannotParse
from porter.syntax_tree import syntax_tree

_DECORATED = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef})
_NODES = [kind for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)]

#: The fields of each type of node that hold statements, last first, and those that may hold nodes with a place.
_STATEMENT_LISTS = {
    kind: [name for name in ("cases", "handlers", "finalbody", "orelse", "body") if name in kind._fields]
    for kind in _NODES
}
_HOLD_NO_NODES = frozenset(
    "ctx id attr arg kind level module conversion op ops kwd_attrs type_comment type_ignores".split()
)
_CHILD_FIELDS = {kind: [name for name in kind._fields if name not in _HOLD_NO_NODES] for kind in _NODES}
_CHILD_FIELDS |= {kind: [] for kind in (ast.Constant, ast.alias, ast.Global, ast.Nonlocal)}
_LEAVES = frozenset(kind for kind, names in _CHILD_FIELDS.items() if not names)

_WORD = re.compile(r"(\w+)")

#: Before 3.12 `ast` gives wrong columns to what stands inside an f-string.
_FSTRING_COLUMNS_ARE_RIGHT = sys.version_info >= (3, 12)


class Source:
    """One unit of Python source. Raises CannotParse if it is not Python.

    `parent` links every node that `walk` has passed to the node around it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode("utf-8")
        self.line_starts = _line_starts(self.data)
        self.tree = parse(text)
        self.parent: dict[ast.AST, ast.AST] = {}
        self._moved: dict[ast.AST, tuple[int, int]] = {}
        #: What a walk has passed inside of f-strings, where `ast` gives wrong columns.
        self._inside_fstrings: set[ast.AST] = set()

    @cached_property
    def names(self) -> Names:
        return Names(self.statements())

    def dotted(self, node: ast.AST) -> str | None:
        """The dotted name that a chain of attributes means; None where a parameter has the name of an import."""
        dotted = self.names.dotted(node)
        return None if dotted and self._shadowed and self._is_a_parameter(node) else dotted

    @cached_property
    def _shadowed(self) -> set[str]:
        """The imported names that are parameters somewhere."""
        return self.names.bound.keys() & self.names.parameters

    def _is_a_parameter(self, node: ast.AST) -> bool:
        """Whether a chain begins with a parameter of a function around it, in whose body it is."""
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._shadowed:
            return False
        child: ast.AST = node
        for parent in self.ancestors(node):
            match parent:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if child in parent.body:
                    if node.id in parameters_of(parent):
                        return True
            child = parent
        return False

    @cached_property
    def is_ascii(self) -> bool:
        return self.data.isascii()

    def statements(self) -> Iterator[ast.stmt]:
        """Every statement, outermost first, without a look at expressions."""
        stack: list[ast.AST] = [self.tree]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.stmt):
                yield node
            for name in _STATEMENT_LISTS[type(node)]:
                stack += getattr(node, name)[::-1]

    def walk(self, lines: list[int] | None = None) -> Iterator[ast.AST]:
        """Every node that touches one of `lines` (sorted, from 1; None: all), parents before children."""
        if lines is None:
            yield from self._all_of(self.tree)
            return
        parent = self.parent
        stack: list[ast.AST] = [self.tree] if lines else []
        while stack:
            node = stack.pop()
            if _is_all_or_nothing(node):
                yield from self._all_of(node)
                continue
            yield node
            children = [child for child in _children(node) if _touches(child, lines)]
            for child in children:
                parent[child] = node
            children.reverse()
            stack += children

    def _all_of(self, top: ast.AST) -> Iterator[ast.AST]:
        stack, parent = [top], self.parent
        while stack:
            node = stack.pop()
            yield node
            kind = type(node)
            if kind in _LEAVES:
                continue
            if kind is ast.JoinedStr and not _FSTRING_COLUMNS_ARE_RIGHT:
                self._inside_fstrings.update(below for below in ast.walk(node) if below is not node)
            children = _children(node)
            for child in children:
                parent[child] = node
            children.reverse()
            stack += children

    def naming(self, words: Iterable[bytes], places: Iterable[int] = ()) -> list[ast.AST]:
        """Every node that holds one of the words, parents before children; those around and beside it are linked.

        `places` are bytes of the text that count as words do. What takes several lines only has to touch the line of a
        word, and so has what `ast` gives no place. A word may stand behind a backslash, as in "\\x63uda".
        """
        columns = self._columns_of(words)
        for place in places:
            line = bisect_right(self.line_starts, place)
            columns.setdefault(line, []).append(place - self.line_starts[line - 1])
        for line, behind in self._columns_of({b"\\"}).items():
            if line in columns:
                columns[line] += behind
        inside_fstrings = self._inside_fstrings
        found: list[ast.AST] = []
        for node in self.walk(sorted(columns)):
            if isinstance(node, ast.expr) and node not in inside_fstrings and (line := node.lineno) == node.end_lineno:
                first, last = node.col_offset, node.end_col_offset
                for column in columns.get(line, ()):
                    if first <= column < last:  # type: ignore[operator]
                        break
                else:
                    continue
            found.append(node)
        return found

    def lines_of(self, words: Iterable[bytes]) -> list[int]:
        """The lines, from 1, on which any of the words stands, as a word of its own or within another."""
        return sorted(self._columns_of(words))

    def _columns_of(self, words: Iterable[bytes]) -> dict[int, list[int]]:
        """By the line, from 1, the bytes of it, from 0, at which one of the words begins."""
        columns: dict[int, list[int]] = {}
        for word in words:
            at = self.data.find(word)
            while at >= 0:
                line = bisect_right(self.line_starts, at)
                columns.setdefault(line, []).append(at - self.line_starts[line - 1])
                at = self.data.find(word, at + 1)
        return columns

    def span(self, node: ast.AST) -> tuple[int, int]:
        """The bytes `start, end` that an expression or statement takes."""
        if node in self._inside_fstrings and (joined := self._fstring_around(node)) is not None:
            if node not in self._moved:
                from porter.fstrings import spans_inside

                start, end = self._own_span(joined)
                self._moved.update(spans_inside(joined, self.data[start:end].decode("utf-8"), start))
            return self._moved.get(node) or self._own_span(joined)
        return self._own_span(node)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a byte, both from 1, the column in characters."""
        line = bisect_right(self.line_starts, offset)
        start = self.line_starts[line - 1]
        if self.is_ascii:
            return line, offset - start + 1
        return line, len(self.data[start:offset].decode("utf-8", "replace")) + 1

    def line_text(self, line: int) -> str:
        """The text of one line, from 1, without its newline."""
        start = self.line_starts[line - 1]
        end = self.line_starts[line] if line < len(self.line_starts) else len(self.data)
        return self.data[start:end].decode("utf-8").rstrip("\r\n")

    def comments(self) -> dict[int, tuple[int, str]]:
        """By the line, from 1: the column of its comment, from 1, and its text."""
        return python_comments(self.text)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        while (node := self.parent.get(node)) is not None:  # type: ignore[assignment]
            yield node

    def _own_span(self, node: ast.AST) -> tuple[int, int]:
        start = self.line_starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self.line_starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end

    def _fstring_around(self, node: ast.AST) -> ast.JoinedStr | None:
        outermost, parent = None, self.parent
        around = parent.get(node)
        while around is not None and not isinstance(around, ast.stmt):
            if isinstance(around, ast.JoinedStr):
                outermost = around
            around = parent.get(around)
        return outermost


def _line_starts(data: bytes) -> list[int]:
    """Where each line begins; behind a last newline begins one more, which is empty."""
    lines = data.splitlines(keepends=True)  # of bytes, it knows no line ends but Python's own
    if not data.endswith((b"\n", b"\r")):
        lines = lines[:-1]
    return [0, *accumulate(map(len, lines))]


def _children(node: ast.AST) -> list[ast.AST]:
    """What `ast.iter_child_nodes` gives, less operators, Load and Store."""
    children: list[ast.AST] = []
    for name in _CHILD_FIELDS[type(node)]:
        if not (value := getattr(node, name, None)):
            continue
        if type(value) is list:
            children += filter(None, value)
        elif isinstance(value, ast.AST):
            children.append(value)
    return children


def _touches(node: ast.AST, lines: list[int]) -> bool:
    first = getattr(node, "lineno", None)
    if first is None:
        return True
    if type(node) in _DECORATED and node.decorator_list:  # type: ignore[attr-defined]
        first = node.decorator_list[0].lineno  # type: ignore[attr-defined]
    at = bisect_left(lines, first)
    return at < len(lines) and lines[at] <= node.end_lineno  # type: ignore[attr-defined]


def _is_all_or_nothing(node: ast.AST) -> bool:
    """Whether all that is below a node touches the lines that the node itself touches, or has to be taken to."""
    if isinstance(node, ast.JoinedStr) and not _FSTRING_COLUMNS_ARE_RIGHT:
        return True
    return getattr(node, "lineno", None) == getattr(node, "end_lineno", 0)


def parse(text: str) -> ast.Module:
    """The syntax tree of `text`. Syntax newer than the running Python is read by libcst's help."""
    if (line := too_deep_at(text)) is not None:
        raise CannotParse("brackets nest more than 200 deep, which no Python accepts", line)
    tree = _tree(text)
    if (found := python_2_in(text, tree)) is not None:
        word, line = found
        raise CannotParse(f"Python 2 source (its {word} is a statement): convert it to Python 3 first", line)
    return tree


def parse_changed(source: Source, changes: Sequence[Change]) -> None:
    """Parse, changed, the statements at the top of a text that changes are in. Raises CannotParse.

    Where names and words of strings have only become others, there is nothing new to parse.
    """
    doubtful = {change for change in changes if not _renames(source.text, change)}
    if not doubtful:
        return
    lines = source.data.splitlines(keepends=True)
    ends = accumulate(map(len, lines) if source.is_ascii else (len(line.decode("utf-8")) for line in lines))
    starts = [0, *ends]
    pieces: list[str] = []
    for first, last, own in _with_their_statements(source, changes, starts):
        if doubtful.isdisjoint(own):
            continue
        start, end = starts[first - 1], starts[min(last, len(lines))]
        within = [Change(one.start - start, one.end - start, one.new) for one in own]
        pieces += apply(source.text[start:end], within), "\n"
    parse("".join(pieces))


def _renames(text: str, change: Change) -> bool:
    """Whether a change makes only words of words: letters alone, none a keyword, behind no backslash."""
    return _rename_words(text[change.start : change.end], change.new) and text[change.start - 1 : change.start] != "\\"


@cache
def _rename_words(old: str, new: str) -> bool:
    olds, news = _WORD.split(old), _WORD.split(new)
    if len(olds) != len(news) or olds[::2] != news[::2]:  # what stands between words
        return False
    pairs = ((one, other) for one, other in zip(olds[1::2], news[1::2], strict=True) if one != other)
    return "\\" not in old and all(_is_name(one) and _is_name(other) for one, other in pairs)


def _is_name(word: str) -> bool:
    return word.isascii() and word.isidentifier() and not iskeyword(word)


def _with_their_statements(
    source: Source, changes: Sequence[Change], starts: list[int]
) -> Iterator[tuple[int, int, list[Change]]]:
    """The first and last line of each group of statements that share lines, with the changes within them, if any."""
    changes, at = list(changes), 0
    last = 0
    for first, last in _lines_of_statements(source.tree):
        own = []
        while at < len(changes) and changes[at].start < starts[min(last, len(starts) - 1)]:
            own.append(changes[at])
            at += 1
        if own:
            yield min(first, bisect_right(starts, own[0].start)), last, own
    if at < len(changes):
        yield min(last + 1, bisect_right(starts, changes[at].start)), len(starts), changes[at:]


def _lines_of_statements(tree: ast.Module) -> Iterator[tuple[int, int]]:
    first = last = 0
    for statement in tree.body:
        decorators = getattr(statement, "decorator_list", None)
        begins = decorators[0].lineno if decorators else statement.lineno
        if begins > last:
            if last:
                yield first, last
            first = begins
        last = max(last, statement.end_lineno or statement.lineno)
    if last:
        yield first, last


def _tree(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return syntax_tree(text)
        except (RecursionError, MemoryError):
            raise CannotParse(NESTS_TOO_DEEPLY) from None
        except ValueError as error:
            raise CannotParse(f"not Python source: {error}") from None
        except SyntaxError as error:
            from porter.newer_syntax import parse_newer

            return parse_newer(text, error)
