"""Comments that ask to leave a place as it is: `# port: ignore`, `# port: ignore[DP101, DP2, rand-device]`.

`# port: ignore-file` and `# port: ignore-file[RULES]`, anywhere in it, ask so for the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from porter.findings import Finding
from porter.rules import all_rules
from porter.rules.unknown_ignore import RULE
from porter.unit import Found

_IGNORE = re.compile(r"#\s*port:\s*ignore\b(?!-)(?:\[([\w\s,-]*)\])?")
_IGNORE_FILE = re.compile(r"#\s*port:\s*ignore-file\b(?:\[([\w\s,-]*)\])?")


class Text(Protocol):
    """A text that findings have places in."""

    text: str

    def comments(self) -> dict[int, tuple[int, str]]: ...


def not_ignored(found: Iterable[Found], source: Text, codes: frozenset[str] | None = None) -> Iterator[Found]:
    """Leaves out what a comment `# port: ignore` or `# port: ignore[RULE]` on its first or last line asks to.

    A name in such a comment that is no rule is a finding itself, if the rule about that is among `codes`.
    """
    if "port:" not in source.text:
        yield from found
        return
    comments = source.comments()
    whole = [comment for _, text in comments.values() for comment in _IGNORE_FILE.finditer(text)]
    for one in found:
        if any(_ignores(comment, one.finding.code) for comment in whole):
            continue
        lines = {one.finding.line, one.finding.end_line}
        asked = (comment for line in lines if line in comments for comment in _IGNORE.finditer(comments[line][1]))
        if not any(_ignores(comment, one.finding.code) for comment in asked):
            yield one
    if codes is None or RULE.code in codes:
        yield from _unknown(comments, codes or frozenset())


def _ignores(comment: re.Match[str], code: str) -> bool:
    if comment[1] is None:
        return True
    named = any(rule.is_named(one) for rule in all_rules() if rule.code == code for one in _names(comment))
    return named or any(code.startswith(one.upper()) for one in _names(comment))


def _unknown(comments: dict[int, tuple[int, str]], codes: frozenset[str]) -> Iterator[Found]:
    for line, (column, text) in comments.items():
        for comment in (*_IGNORE.finditer(text), *_IGNORE_FILE.finditer(text)):
            for name in _names(comment):
                own = any(code.startswith(name.upper()) for code in codes)  # a rule of the project
                if not own and not any(rule.is_named(name) for rule in all_rules()):
                    at = column + comment.start()
                    message = f'this comment ignores "{name}", which is no rule'
                    way_out = "diffsynth-port --list-rules names them all"
                    end = column + comment.end()
                    yield Found(Finding(RULE.code, "warning", message, line, at, line, end, way_out))


def _names(comment: re.Match[str]) -> list[str]:
    return [name.strip() for name in (comment[1] or "").split(",") if name.strip()]
