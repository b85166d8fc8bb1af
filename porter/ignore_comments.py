"""Comments that ask to leave a place as it is: `# port: ignore`, `# port: ignore[DP101, DP2, rand-device]`.

They hold for what begins or ends on their line. Where a string or a backslash takes the line's end, they stand where
that is over; in a Dockerfile, on a line of their own above. `# port: ignore-file` and `# port: ignore-file[RULES]`,
anywhere in it, ask so for the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from porter.commenting import Commenting
from porter.findings import Finding
from porter.rules import all_rules
from porter.unit import Found

_DIRECTIVE = re.compile(r"(?:#|//)\s*port:\s*ignore(?P<whole>-file)?\b(?!-)(?:\[(?P<names>[\w\s,-]*)\])?")


class Directive(NamedTuple):
    """One of them, at `start` of the comment that begins in `column` of the line. `names` None means every rule."""

    line: int
    column: int
    comment: str
    start: int
    end: int
    whole: bool
    names: tuple[str, ...] | None

    def asks_for(self, code: str) -> bool:
        return self.names is None or any(is_named(code, name) for name in self.names)


class Ignores:
    """The comments of a text that ask for this."""

    def __init__(self, text: str, commenting: Commenting) -> None:
        text = commenting.original if commenting.original is not None else text
        self.directives: list[Directive] = []
        self._places: dict[int, int] = {}
        if "port:" not in text:
            return
        comments = commenting.comments(text)
        self.directives = [one for line in sorted(comments) for one in _directives(line, *comments[line])]
        if self.directives:
            self._places = commenting.places(text)

    def hold(self, directive: Directive, finding: Finding) -> bool:
        """Whether a comment asks to leave out a finding."""
        if not directive.asks_for(finding.code):
            return False
        lines = (finding.line, finding.end_line)
        return (
            directive.whole or directive.line in lines or directive.line in [self._places.get(line) for line in lines]
        )

    def split(self, found: Iterable[Found]) -> tuple[list[Found], list[Finding]]:
        """What no comment asks to leave out, and the findings of the rest."""
        kept: list[Found] = []
        left_out: list[Finding] = []
        for one in found:
            if any(self.hold(directive, one.finding) for directive in self.directives):
                left_out.append(one.finding)
            else:
                kept.append(one)
        return kept, left_out


def is_named(code: str, name: str) -> bool:
    """Whether a name in such a comment means the rule of a code: it is the code, its beginning, or the rule's name."""
    return code.startswith(name.upper()) or any(rule.is_named(name) for rule in all_rules() if rule.code == code)


def _directives(line: int, column: int, comment: str) -> Iterable[Directive]:
    for found in _DIRECTIVE.finditer(comment):
        names = found["names"]
        named = None if names is None else tuple(name.strip() for name in names.split(",") if name.strip())
        yield Directive(line, column, comment, found.start(), found.end(), found["whole"] is not None, named)
