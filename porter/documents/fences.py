"""Fenced code blocks of a Markdown text (CommonMark), also within lists and block quotes, and their code as units.

A fence in an indented code block, in another fence or in raw HTML is text, and found no more than there. A unit is
without what a list, a quote or the code itself indents all of it by.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from porter.changes import LINE, Change, within_lines
from porter.findings import Finding

_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?:(?: {1,4}(?! )|[ \t])(?=[^\r\n])|(?=[\r\n]|\Z))")
_FENCE = re.compile(r"(?P<indent> {0,3})(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^\r\n]*)")
_OTHER = re.compile(r" {0,3}(?:#{1,6}(?=\s|\Z)|>|(?:[-+*]|\d{1,9}[.)])(?=\s|\Z)|`{3}|~{3}|<|(?:[-*_][ \t]*){3,}\s*\Z)")
_RAW_HTML = re.compile(r" {0,3}<(?P<what>!--|(?:pre|script|style|textarea)\b)", re.IGNORECASE)


class BlockLine(NamedTuple):
    """A line of a block: `start:end` with its newline, of which the code begins at `code`."""

    start: int
    code: int
    end: int


@dataclass
class Block:
    """A fenced block: what stands after the opening fence, the lines between, the number of the first of them."""

    info: str
    first_line: int
    lines: list[BlockLine] = field(default_factory=list)


@dataclass
class _Fence:
    indent: int
    marks: str
    block: Block

    def is_closed_by(self, line: str) -> bool:
        marks = self.marks[0]
        return re.fullmatch(rf" {{0,3}}{marks}{{{len(self.marks)},}}[ \t]*[\r\n]*", line) is not None


def fenced_blocks(text: str) -> Iterator[Block]:
    """Every fenced block, in order. One that is never closed goes on to the end of what it stands in."""
    containers: list[int] = []  # the width of each list item, 0 for a block quote
    fence: _Fence | None = None
    end_of_html = ""
    is_paragraph = False
    for number, match in enumerate(LINE.finditer(text), 1):
        line = match[0]
        at, inside = _within(line, containers)
        if inside < len(containers):
            if is_paragraph and _is_plain(line[at:]):
                continue  # a paragraph goes on, however little its lines are indented
            del containers[inside:]
            if fence is not None:
                yield fence.block
            fence, end_of_html = None, ""
        if fence is not None:
            if fence.is_closed_by(line[at:]):
                yield fence.block
                fence = None
            else:
                code = at + _blanks(line[at:], fence.indent)
                fence.block.lines.append(BlockLine(match.start(), match.start() + code, match.end()))
            continue
        if not end_of_html:
            at = _enter(line, at, containers)
            fence = _opened(line[at:], number)
            end_of_html = _html_end(line[at:])
        if end_of_html and end_of_html in line.lower():
            end_of_html = ""
        is_paragraph = fence is None and not end_of_html and _is_plain(line[at:])
    if fence is not None:
        yield fence.block


def _within(line: str, containers: list[int]) -> tuple[int, int]:
    """Where the line's own text begins, and how many of the containers it goes on with."""
    at = 0
    for depth, width in enumerate(containers):
        if not width:
            quote = _QUOTE.match(line, at)
            if quote is None:
                return at, depth
            at = quote.end()
        else:
            blanks = _blanks(line[at:], width)
            is_blank = not line[at:].strip()
            if not is_blank and _columns(line[at : at + blanks]) < width:
                return at, depth
            at += blanks
    return at, len(containers)


def _enter(line: str, at: int, containers: list[int]) -> int:
    """Adds the list items and quotes that begin on the line; returns where its text begins."""
    while True:
        if quote := _QUOTE.match(line, at):
            containers.append(0)
            at = quote.end()
        elif item := _ITEM.match(line, at):
            containers.append(_columns(item[0]) + (item[0][-1] not in " \t"))
            at = item.end()
        else:
            return at


def _is_plain(line: str) -> bool:
    """Whether the line is the text of a paragraph or goes on with one."""
    return bool(line.strip()) and _OTHER.match(line) is None


def _opened(line: str, number: int) -> _Fence | None:
    match = _FENCE.match(line)
    if match is None or (match["marks"][0] == "`" and "`" in match["info"]):
        return None
    return _Fence(len(match["indent"]), match["marks"], Block(match["info"].strip(), number + 1))


def _html_end(line: str) -> str:
    match = _RAW_HTML.match(line)
    if match is None:
        return ""
    return "-->" if match["what"] == "!--" else f"</{match['what'].lower()}>"


def _blanks(line: str, columns: int) -> int:
    """How many of the blanks that the line begins with make up at most so many columns."""
    count = 0
    while count < len(line) and line[count] in " \t" and _columns(line[:count]) < columns:
        count += 1
    return count


def _columns(blanks: str) -> int:
    return len(blanks.expandtabs(4))


_BLANKS = re.compile(r"[ \t]*")
_NEWLINE_WITHIN = re.compile(r"(?:\r\n|\r|\n)(?=[^\r\n])")


class MarkdownUnit:
    """`text` is the code; what stands before it on each line is left out."""

    def __init__(self, document: str, block: Block) -> None:
        self._document = document
        self._first_line = block.first_line
        self._lines = _without_common_indent(document, block.lines)
        self._starts: list[int] = []
        at = 0
        for line in self._lines:
            self._starts.append(at)
            at += line.end - line.code
        self.text = "".join(document[line.code : line.end] for line in self._lines)

    def changes_of_the_document(self, changes: Iterable[Change]) -> Iterator[Change]:
        for start, end, new in within_lines(self.text, changes):
            first, last = self._index(start), self._index(max(end - 1, start))
            if start == end and new.endswith(("\r", "\n")):  # a line of its own
                above = self._index(start - 1)
                at = self._lines[above].end
                yield Change(at, at, self._left_of(above) + self._indented(new, above))
            elif not new and start == self._starts[first] and self.text[start:end].endswith(("\r", "\n")):
                yield Change(self._lines[first].start, self._lines[last].end, "")
            else:
                begin = self._lines[first].code + start - self._starts[first]
                finish = self._lines[last].code + end - self._starts[last]
                yield Change(begin, finish, self._indented(new, first))

    def placed(self, finding: Finding) -> Finding:
        """The finding, its lines and columns counted in the document."""
        return finding._replace(
            line=finding.line + self._first_line - 1,
            column=finding.column + self._width(finding.line),
            end_line=finding.end_line + self._first_line - 1,
            end_column=finding.end_column + self._width(finding.end_line),
        )

    def _index(self, offset: int) -> int:
        return bisect_right(self._starts, offset) - 1

    def _left_of(self, index: int) -> str:
        line = self._lines[index]
        return self._document[line.start : line.code]

    def _indented(self, new: str, index: int) -> str:
        return _NEWLINE_WITHIN.sub(lambda match: match[0] + self._left_of(index), new)

    def _width(self, line: int) -> int:
        return len(self._left_of(line - 1)) if line <= len(self._lines) else 0


def _without_common_indent(document: str, lines: list[BlockLine]) -> list[BlockLine]:
    indents = [
        _BLANKS.match(document, line.code)[0]  # type: ignore[index]
        for line in lines
        if document[line.code : line.end].strip()
    ]
    common = min(indents, key=len, default="")
    if not all(indent.startswith(common) for indent in indents):
        return lines
    return [
        line._replace(code=line.code + len(common)) if document.startswith(common, line.code, line.end) else line
        for line in lines
    ]
