"""Where the values of a JSON text stand, so that one string can change and every other byte stays.

json.loads has to accept the text first; this file only looks for places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from porter.changes import Change, apply

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]|[^\s"{}\[\],:]+', re.DOTALL)
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[\da-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
_NEWLINE = frozenset({r"\n", r"\u000a", r"\u000A"})


class Place(NamedTuple):
    """Characters `start:end` of the text hold the value that `path`, of keys and indices, leads to."""

    path: tuple[str | int, ...]
    start: int
    end: int


def places(text: str, depth: int) -> Iterator[Place]:
    """The place of every value that at most `depth` keys and indices lead to; what is in a value comes before it."""
    path: list[str | int] = []
    starts: list[int] = []
    key_comes = False
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "{[":
            starts.append(token.start())
            path.append("" if first == "{" else 0)
            key_comes = first == "{"
        elif first in "}]":
            path.pop()
            start = starts.pop()
            if len(path) <= depth:
                yield Place(tuple(path), start, token.end())
        elif first == ",":
            last = path[-1]
            key_comes = isinstance(last, str)
            path[-1] = "" if isinstance(last, str) else last + 1
        elif key_comes:
            path[-1] = json.loads(token[0]) if len(path) <= depth else ""
            key_comes = False
        elif len(path) <= depth:
            yield Place(tuple(path), *token.span())


def changed_string(raw: str, changes: Iterable[Change]) -> str:
    """A raw string, quotes included, with changes that count in the characters it stands for.

    What does not change keeps its escapes; what is new is escaped as the rest of the string is.
    """
    starts = [match.start() for match in _CHARACTER.finditer(raw, 1, len(raw) - 1)] + [len(raw) - 1]
    only_ascii = raw.isascii()
    return apply(
        raw,
        (
            Change(starts[start], starts[end], json.dumps(new, ensure_ascii=only_ascii)[1:-1])
            for start, end, new in changes
        ),
    )


def string_lines(raw: str) -> list[str]:
    """A raw string, quotes included, as one raw string for each line that it stands for."""
    lines = [""]
    for match in _CHARACTER.finditer(raw, 1, len(raw) - 1):
        lines[-1] += match[0]
        if match[0] in _NEWLINE:
            lines.append("")
    return [f'"{line}"' for line in (lines if lines[-1] or len(lines) == 1 else lines[:-1])]
