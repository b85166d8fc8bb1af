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

_DIRECTIVE = re.compile(
    r"""(?:\#|//)\s*port:\s*ignore(?P<whole>-file)?\b(?!-)
        (?: (?P<apart>\s*)\[(?P<names>[\s,]*(?:[\w-]+(?:[\s,]*,[\s,]*[\w-]+)*)?[\s,]*)\]
          | (?P<broken>\[[^\]\#]*\]? | [\s:=(]*[dD][pP]\d[\w\s,-]*\)?) )?""",
    re.VERBOSE,
)
_CODE = re.compile(r"[A-Za-z]+\d+")


class Directive(NamedTuple):
    """One of them, at `start` of the comment that begins in `column` of the line. `names` None means every rule.

    Where names are not between brackets, or not with commas between them, it is `broken`: it asks for those of its
    words that are rules.
    """

    line: int
    column: int
    comment: str
    start: int
    end: int
    whole: bool
    names: tuple[str, ...] | None
    broken: bool = False

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
        broken, end = found["broken"], found.end()
        names: tuple[str, ...] | None = None
        if broken is not None:
            names = tuple(word for word in re.findall(r"[\w-]+", broken) if _is_of_a_rule(word))
        elif found["names"] is not None:
            names = tuple(name.strip() for name in found["names"].split(",") if name.strip())
            if found["apart"] and not any(map(_is_of_a_rule, names)):  # `ignore [sic]`: a reason
                names, end = None, found.start("apart")
        whole = found["whole"] is not None
        yield Directive(line, column, comment, found.start(), end, whole, names, broken is not None)


def _is_of_a_rule(word: str) -> bool:
    return _CODE.fullmatch(word) is not None or any(rule.name == word.lower() for rule in all_rules())
