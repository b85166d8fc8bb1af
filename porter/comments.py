"""Where the comments of a text are: by Python's own tokenizer, or line by line where a text is not Python's."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable

#: What comes before a comment on its line: quoted strings, and anything that opens neither.
_BEFORE = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^#"'])*""")


def python_comments(text: str) -> dict[int, tuple[int, str]]:
    """By the line, from 1: the column, from 1, and the text of its comment."""
    found: dict[int, tuple[int, str]] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = (token.start[1] + 1, token.string)
    except (tokenize.TokenError, SyntaxError):  # syntax newer than the running Python
        return line_comments(re.split(r"\r\n|\r|\n", text))
    return found


def line_comments(lines: Iterable[str]) -> dict[int, tuple[int, str]]:
    """The same for a text in which a comment runs from a # outside of quotes to the end of its line."""
    found: dict[int, tuple[int, str]] = {}
    for number, line in enumerate(lines, 1):
        if "#" in line:
            before = _BEFORE.match(line)
            at = before.end() if before else 0
            if line.startswith("#", at):
                found[number] = (at + 1, line[at:])
    return found
