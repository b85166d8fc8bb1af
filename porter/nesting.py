"""How deeply brackets nest, counted before any parser sees the text.

CPython refuses more than 200 open brackets; libcst's native parser overruns the stack, and takes the process
down, somewhere below 3,000. So the count comes first, and costs nothing for a text with fewer than 200 brackets.
"""

from __future__ import annotations

import re

#: What is said of a text that a parser cannot descend into.
NESTS_TOO_DEEPLY = "an expression or statement nests too deeply to be parsed"

#: The most open brackets that CPython's tokenizer takes (MAXLEVEL in its tokenizer).
MOST_BRACKETS = 200

#: The most operators and keywords that may nest without a bracket in one line before libcst is not trusted with it.
MOST_OPERATORS = 1000

_TOKEN = re.compile(
    r"""[^\#"'()\[\]{}]+
    | \#[^\r\n]*
    | \"{3} [^"\\]* (?: (?: \\. | "(?!"") ) [^"\\]* )* \"{3}
    | '{3} [^'\\]* (?: (?: \\. | '(?!'') ) [^'\\]* )* '{3}
    | " [^"\\\r\n]* (?: \\. [^"\\\r\n]* )* "
    | ' [^'\\\r\n]* (?: \\. [^'\\\r\n]* )* '
    | (?P<bracket> [()\[\]{}] )""",
    re.VERBOSE | re.DOTALL,
)
_OPERATOR = re.compile(r"\b(?:not|lambda|if|elif|await|and|or)\b|[-+~*/.(\[{@<>=|&^%]|['\"] *['\"]")


def too_deep_at(text: str) -> int | None:
    """The line, from 1, where brackets nest too deeply for Python itself; None where they never do."""
    if text.count("(") + text.count("[") + text.count("{") <= MOST_BRACKETS:
        return None
    depth = 0
    for match in _TOKEN.finditer(text):
        bracket = match["bracket"]
        if not bracket:
            continue
        depth = depth + 1 if bracket in "([{" else max(depth - 1, 0)
        if depth > MOST_BRACKETS:
            return len(re.findall(r"\r\n|\r|\n", text[: match.start()])) + 1
    return None


def too_long_a_chain(text: str) -> bool:
    """Whether some line chains so many operators that a recursive parser could overrun its stack."""
    return any(
        len(line) > MOST_OPERATORS and sum(1 for _ in _OPERATOR.finditer(line)) > MOST_OPERATORS
        for line in text.splitlines()
    )


class CannotParse(Exception):
    """No parser could read the source; the message says why, `line` where."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line
