"""A list of packages as pip reads it: one requirement or option a line, comments behind a #."""

from __future__ import annotations

import re
from dataclasses import dataclass

from porter.text_unit import Lines, Span

_LINE = re.compile(r"[ \t]*(?P<text>[^\s#](?:[^#\r\n]|(?<!\s)#)*)")


@dataclass(frozen=True)
class Requirement:
    """One line; `is_option` for `--index-url ...` and the like."""

    text: str
    span: Span
    is_option: bool


class RequirementsFile(Lines):
    """One file."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.requirements = [one for start in self.line_starts if (one := self._requirement(start)) is not None]

    def _requirement(self, start: int) -> Requirement | None:
        line = self.line_text(self.line_of(start))
        found = _LINE.match(line)
        if found is None:
            return None
        text = found["text"].rstrip()
        at = start + len(line[: found.start("text")].encode())
        return Requirement(text, (at, at + len(text.encode())), text.startswith("-"))
