"""A text with its bytes, and where in it a byte stands: what findings about any kind of file are placed by."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from porter.comments import line_comments
from porter.findings import Finding


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
