"""What a rule about something else than Python is given: a text, the translation in hand, the two things it can say."""

from __future__ import annotations

from typing import Generic, TypeVar

from porter.findings import Edit
from porter.lines import Lines
from porter.targets import Translation
from porter.unit import Found

Text = TypeVar("Text", bound=Lines)
Span = tuple[int, int]


class TextUnit(Generic[Text]):
    """A parsed text on its way from one accelerator to another. Places in it are spans of its bytes."""

    def __init__(self, source: Text, translation: Translation) -> None:
        self.source = source
        self.translation = translation

    def fix(self, code: str, span: Span, message: str, *edits: Edit) -> Found:
        """The tool makes this right itself, by `edits`."""
        return Found(self.source.finding(code, "fix", span, message), edits)

    def report(self, code: str, severity: str, span: Span, message: str, way_out: str = "") -> Found:
        """A person has to look: `severity` is "error" (fails there), "warning" (may) or "note" (differs)."""
        return Found(self.source.finding(code, severity, span, message, way_out))


def replaced(span: Span, new: str) -> Edit:
    """Other text in the place of a span; before its start, where it is empty."""
    return Edit(*span, "", (new,))
