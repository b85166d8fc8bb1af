"""Texts that no parser is trusted with: brackets that nest too deeply, Python 2 that Python 3 reads otherwise."""

from __future__ import annotations

import ast
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


_MAYBE = re.compile(r"\bprint\s*>>|\bexec\s*\([^\n]*\)\s*in\b")


def python_2_in(text: str, tree: ast.Module) -> tuple[str, int] | None:
    """The first such statement, by the word that begins it, and its line, from 1."""
    if (">>" not in text and "exec" not in text) or not _MAYBE.search(text):  # the first two cost next to nothing
        return None
    found = (
        (word, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Expr) and (word := _word(node.value))
    )
    return min(found, key=lambda one: one[1], default=None)


def _word(value: ast.expr) -> str:
    match value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value:
        case ast.BinOp(left=ast.Name(id="print"), op=ast.RShift()):
            return "print"
        case ast.Compare(left=ast.Call(func=ast.Name(id="exec")), ops=[ast.In()]):
            return "exec"
        case _:
            return ""
