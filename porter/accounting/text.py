"""Why a place in a text of another language than Python that names CUDA is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from porter.accounting.mentions import lines_that_name
from porter.accounting.places import Place
from porter.accounting.reasons import Reason
from porter.comments import line_comments

_IGNORES = re.compile(r"#\s*port:\s*ignore\b")
_PRINTS = re.compile(r"\s*(?:echo|printf|logger|cat\s*<<|:)\b")
_NAMED = re.compile(r"cuda|nccl|nvidia", re.IGNORECASE)

#: What a word of a shell script or a configuration is, by how it looks.
_PATH = re.compile(r"[^\s=]*/[^\s]*|[\w.{}$-]+\.(?:py|sh|txt|json|ya?ml|toml|log|cu|cuh|so|h|cpp|md|whl)\b[^\s]*")
_OWN_NAME = re.compile(r"[-$@{(\"']*\w*(?:[\w-]*(?:cuda|nccl|nvidia)[\w-]+|[\w-]+(?:cuda|nccl|nvidia)[\w-]*)\b.*", re.I)


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    """Each line of a file that names CUDA, and why it is passed over."""
    return ((Place(0, line), reason) for line, reason in reasons(text))


def reasons(text: str) -> Iterator[tuple[int, Reason | None]]:
    """Each line that names CUDA, with why it is passed over, for languages with comments behind a #."""
    lines = re.split(r"\r\n|\r|\n", text)
    comments = line_comments(lines)
    for number in lines_that_name(text.encode("utf-8")):
        line = lines[number - 1] if number <= len(lines) else ""
        yield number, _reason(line, comments.get(number))


def all_for(text: str, reason: Reason) -> Iterator[tuple[int, Reason | None]]:
    """Each line that names CUDA, for one reason."""
    return ((number, reason) for number in lines_that_name(text.encode("utf-8")))


def _reason(line: str, comment: tuple[int, str] | None) -> Reason | None:
    if comment is not None and _IGNORES.search(comment[1]):
        return Reason.IGNORED
    code = line[: comment[0] - 1] if comment is not None else line
    words = [word for word in re.split(r"[\s;,]+", code) if _NAMED.search(word)]
    if not words:
        return Reason.COMMENT
    if _PRINTS.match(code):
        return Reason.MESSAGE
    return _of_words(words)


def _of_words(words: Iterable[str]) -> Reason | None:
    found = {_of_word(word) for word in words}
    return None if None in found else next(iter(sorted(found, key=lambda one: one.name if one else "")))


def _of_word(word: str) -> Reason | None:
    if _PATH.search(word):
        return Reason.PATH
    return Reason.NAME if _OWN_NAME.fullmatch(word) else None
