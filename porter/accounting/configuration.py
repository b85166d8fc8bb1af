"""The lines of a configuration file that name CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.accounting import commented_text as plain
from porter.accounting.mentions import is_named
from porter.accounting.reasons import Place, Reason
from porter.vocabulary import says_device, says_text

_ENTRY = re.compile(r"\s*(?:-\s+)?[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s*(?P<value>.*)")
_PAIR = re.compile(r"[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s*(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\"'{}\[\],]+)")
_SENTENCE = re.compile(r"[^\s=]+(?:\s+[^\s=-][^\s=]*){3,}[\"',.;]*\s*")


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    return ((Place(0, line), reason) for line, reason in reasons(text))


def reasons(text: str) -> Iterator[tuple[int, Reason | None]]:
    """Each line that names CUDA, with why it is passed over: as in any text, and by its key."""
    lines = re.split(r"\r\n|\r|\n", text)
    for number, reason in plain.reasons(text):
        yield number, reason or _by_its_key(lines[number - 1])


def _by_its_key(line: str) -> Reason | None:
    if not is_named(_PAIR.sub(_unless_text, line).encode()):
        return Reason.TEXT
    entry = _ENTRY.fullmatch(line)
    if entry is None:
        return Reason.SENTENCE if _SENTENCE.fullmatch(line.strip()) else None
    return Reason.SENTENCE if _SENTENCE.fullmatch(entry["value"].strip()) else None


def _unless_text(pair: re.Match[str]) -> str:
    """The pair itself, or nothing where its key says that the value is text."""
    return "" if says_text(pair["key"]) and not says_device(pair["key"]) else pair[0]
