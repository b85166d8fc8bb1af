"""Changes to a text, each a span and what takes its place: how a port travels from a unit back into its document."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class Change(NamedTuple):
    """Characters `start:end` of a text, and the text that takes their place."""

    start: int
    end: int
    new: str


def apply(text: str, changes: Iterable[Change]) -> str:
    """The text with every change made. They are in order, and none overlaps another."""
    pieces: list[str] = []
    at = 0
    for start, end, new in changes:
        pieces += text[at:start], new
        at = end
    return "".join([*pieces, text[at:]])


def within_lines(text: str, changes: Iterable[Change]) -> Iterator[Change]:
    """The same changes as small as they can be: those of an expression over many lines, line by line."""
    for start, end, new in changes:
        old_lines, new_lines = LINE.findall(text[start:end]), LINE.findall(new)
        if not old_lines or len(old_lines) != len(new_lines):
            yield Change(start, end, new)
            continue
        for old_line, new_line in zip(old_lines, new_lines, strict=True):
            if old_line != new_line:
                yield _smallest(start, old_line, new_line)
            start += len(old_line)


def _smallest(start: int, old: str, new: str) -> Change:
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    return Change(start + head, start + len(old) - tail, new[head : len(new) - tail])


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(one), len(other)))


def diff_of(shown: str, old: bytes, new: bytes) -> str:
    """A unified diff of one file, which is new where `old` is empty; bytes that are not UTF-8 show as replacements."""
    from difflib import unified_diff

    before, after = (LINE.findall(data.decode("utf-8", "replace")) for data in (old, new))
    name = os.path.normpath(shown).replace(os.sep, "/").lstrip("/")  # git takes no "./"
    lines = []
    for line in unified_diff(before, after, f"a/{name}" if old else "/dev/null", f"b/{name}"):
        lines.append(line if line.endswith(("\n", "\r")) else line + "\n\\ No newline at end of file\n")
    return "".join(lines)
