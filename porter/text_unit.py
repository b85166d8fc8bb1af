"""What a rule about another language is given: a text by its lines, the translation in hand, and two things to say."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Generic, TypeVar

from porter.comments import line_comments
from porter.findings import SAFE, Edit, Finding
from porter.targets import Translation
from porter.unit import Found

Span = tuple[int, int]


class Lines:
    """A text and its UTF-8 bytes; offsets count bytes. A line ends in LF, with or without a CR before it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode("utf-8")
        self.line_starts = [0, *accumulate(len(line) + 1 for line in self.data.split(b"\n")[:-1])]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a byte, both from 1, the column in characters."""
        line = self.line_of(offset)
        return line, len(self.data[self.line_starts[line - 1] : offset].decode("utf-8", "replace")) + 1

    def line_of(self, offset: int) -> int:
        """The line, from 1, that a byte is on."""
        return bisect_right(self.line_starts, offset)

    def line_text(self, line: int) -> str:
        """The text of one line, from 1, without its newline."""
        start = self.line_starts[line - 1]
        end = self.line_starts[line] if line < len(self.line_starts) else len(self.data)
        return self.data[start:end].decode("utf-8").rstrip("\r\n")

    def comments(self) -> dict[int, tuple[int, str]]:
        """By the line, from 1: the column of its comment, from 1, and its text."""
        return line_comments(self.text.split("\n"))

    def piece(self, start: int, end: int) -> str:
        """The text of bytes `start:end`."""
        return self.data[start:end].decode("utf-8")

    @property
    def newline(self) -> str:
        """The file's own line ending, as its first line has it."""
        return "\r\n" if "\r\n" in self.text[: self.text.find("\n") + 1] else "\n"

    def finding(self, code: str, severity: str, span: tuple[int, int], message: str, way_out: str = "") -> Finding:
        """A finding about the bytes of `span`."""
        (line, column), (end_line, end_column) = self.place(span[0]), self.place(span[1])
        return Finding(code, severity, message, line, column, end_line, end_column, way_out)


Text = TypeVar("Text", bound=Lines)


class TextUnit(Generic[Text]):
    """A parsed text on its way from one accelerator to another. Places in it are spans of its bytes."""

    def __init__(self, source: Text, translation: Translation) -> None:
        self.source = source
        self.translation = translation

    def fix(self, code: str, span: Span, message: str, *edits: Edit) -> Found:
        """The tool makes this right itself, by `edits`."""
        return Found(self.source.finding(code, "fix", span, message)._replace(applicability=SAFE), edits)

    def report(self, code: str, severity: str, span: Span, message: str, way_out: str = "") -> Found:
        """A person has to look: `severity` is "error" (fails there), "warning" (may) or "note" (differs)."""
        return Found(self.source.finding(code, severity, span, message, way_out))


def replaced(span: Span, new: str) -> Edit:
    """Other text in the place of a span; before its start, where it is empty."""
    return Edit(*span, "", (new,))
