"""The code of one fenced block as a unit: without what a list, a quote or the code itself indents all of it by."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from porter.changes import Change, within_lines
from porter.documents.fences import Block, BlockLine
from porter.findings import Finding

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
