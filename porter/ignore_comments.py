"""Comments that ask to leave a place as it is: `# port: ignore`, `# port: ignore[DP101, DP2, rand-device]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from porter.rules import all_rules
from porter.unit import Found

_IGNORE = re.compile(r"#\s*port:\s*ignore\b(?:\[([\w\s,-]*)\])?")


class Text(Protocol):
    """A text that findings have places in."""

    text: str

    def line_text(self, line: int) -> str: ...


def not_ignored(found: Iterable[Found], source: Text) -> Iterator[Found]:
    """Leaves out what a comment `# port: ignore` or `# port: ignore[RULE]` on its first or last line asks to."""
    if "port:" not in source.text:
        yield from found
        return
    for one in found:
        finding = one.finding
        lines = {source.line_text(finding.line), source.line_text(finding.end_line)}
        if not any(_ignores(comment, finding.code) for line in lines for comment in _IGNORE.finditer(line)):
            yield one


def _ignores(comment: re.Match[str], code: str) -> bool:
    if comment[1] is None:
        return True
    wanted = [name.strip() for name in comment[1].split(",")]
    return any(rule.is_named(one) for rule in all_rules() if rule.code == code for one in wanted)
