"""Where the comments of a text are: by Python's own tokenizer, or line by line where a text is not Python's."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable

#: By the line, from 1: the column, from 1, and the text of its comment.
Comments = dict[int, tuple[int, str]]

#: What comes before a comment on its line: quoted strings, and anything that opens neither.
_BEFORE = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^#"'])*""")

#: Tokens after which the next one begins a line without a backslash.
_END_A_LINE = (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def python_comments(text: str) -> Comments:
    """The comments of Python."""
    found: Comments = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = (token.start[1] + 1, token.string)
    except (tokenize.TokenError, SyntaxError):  # syntax newer than the running Python
        return line_comments(re.split(r"\r\n|\r|\n", text))
    return found


def python_places(text: str) -> dict[int, int]:
    """For a line that ends within a string, or in a backslash, the line at the end of which a comment for it stands."""
    found: dict[int, int] = {}
    last = (tokenize.NL, 0)
    try:
        for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
            (start, _), (end, _) = token.start, token.end
            goes_on = last[0] not in _END_A_LINE and token.type not in _END_A_LINE
            first = last[1] if goes_on else start
            found |= dict.fromkeys(range(first, end), end) if end > first else {}
            last = (token.type, end)
    except (tokenize.TokenError, SyntaxError):
        return {}
    for line in sorted(found, reverse=True):
        found[line] = found.get(found[line], found[line])
    return found


def line_comments(lines: Iterable[str]) -> Comments:
    """The same for a text in which a comment runs from a # outside of quotes to the end of its line."""
    found: Comments = {}
    for number, line in enumerate(lines, 1):
        if "#" in line:
            before = _BEFORE.match(line)
            at = before.end() if before else 0
            if line.startswith("#", at):
                found[number] = (at + 1, line[at:])
    return found
