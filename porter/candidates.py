"""Which rules a text calls for, by its words alone: most files never get as far as a parser.

text -> words -> rules that look for one of them -> what these do with each type of node
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from porter.analysis import asked_for
from porter.rules import rules_for
from porter.rules.rule import Check, Rule
from porter.targets import Translation

if TYPE_CHECKING:
    from porter.analysis.custom.rule_settings import CustomRule

#: The project's own rules.
Own = tuple["CustomRule", ...]

#: Leaves letters, digits and underscores and blanks out all else, so that splitting gives a text's words.
_ONLY_WORDS = bytes(code if chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(128)) + b" " * 128


class Call(NamedTuple):
    """What the rules do that a text calls for, by type of node, and those of its words that call for them."""

    checks: dict[type[Any], list[Check]]
    words: frozenset[bytes]


def called_for(
    text: str | bytes, wanted: Translation, codes: frozenset[str] | None, language: str = "python", own: Own = ()
) -> Call:
    """By the rules for a language with these codes (None: all). Without a word of theirs, there is nothing to do."""
    data = text.encode("utf-8") if isinstance(text, str) else text
    words = _words(wanted, codes, language, own).intersection(data.translate(_ONLY_WORDS).split())
    spelled = (
        one.pattern for word, one in _spellings(wanted, codes, language, own) if word in words and one.search(data)
    )
    return _called_for(words.union(spelled), wanted, codes, language, own)


class _Ready(NamedTuple):
    """A rule, with its words as they stand in a file, each by what has to be found: the word, or a pattern."""

    rule: Rule
    words: dict[bytes, bytes]
    beside: frozenset[bytes]


@cache
def _called_for(
    found: frozenset[bytes], wanted: Translation, codes: frozenset[str] | None, language: str, own: Own = ()
) -> Call:
    checks: dict[type[Any], list[Check]] = {}
    calling: set[bytes] = set()
    rules, looking = _rules(wanted, codes, language, own), _looking_for(wanted, codes, language, own)
    for number in sorted({number for word in found for number in looking.get(word, ())}):
        rule, words, beside = rules[number]
        if beside and beside.isdisjoint(found):
            continue
        calling.update(words[word] for word in found if word in words)
        for nodes, check in rule.checks:
            for node in nodes:
                checks.setdefault(node, []).append(check)
    return Call(checks, frozenset(calling))


@cache
def _rules(wanted: Translation, codes: frozenset[str] | None, language: str, own: Own = ()) -> tuple[_Ready, ...]:
    """The rules for a language that speak about a translation."""
    every = (*rules_for(language), *(asked_for(codes) if language == "python" else ()))
    if own:
        from porter.analysis.custom.rules import rule_of

        every += tuple(map(rule_of, own))
    rules = (rule for rule in every if rule.applies_to(wanted) and (codes is None or rule.code in codes))
    return tuple(_Ready(rule, _looked_for(rule, wanted), frozenset(_as_bytes(rule.beside))) for rule in rules)


@cache
def _looking_for(
    wanted: Translation, codes: frozenset[str] | None, language: str, own: Own = ()
) -> dict[bytes, list[int]]:
    """By what has to be found, the rules that look for it, as they are numbered there."""
    looking: dict[bytes, list[int]] = {}
    for number, ready in enumerate(_rules(wanted, codes, language, own)):
        for word in ready.words:
            looking.setdefault(word, []).append(number)
    return looking


def _looked_for(rule: Rule, wanted: Translation) -> dict[bytes, bytes]:
    words = rule.words_for(wanted)
    return dict(zip(_as_bytes(rule.spelled.get(word, word) for word in words), _as_bytes(words), strict=True))


def _as_bytes(texts: Iterable[str]) -> Iterable[bytes]:
    return (text.encode() for text in texts)


@cache
def _words(wanted: Translation, codes: frozenset[str] | None, language: str, own: Own = ()) -> frozenset[bytes]:
    """Every word that tells something."""
    return frozenset().union(
        *(ready.beside.union(ready.words.values()) for ready in _rules(wanted, codes, language, own))
    )


@cache
def _spellings(
    wanted: Translation, codes: frozenset[str] | None, language: str, own: Own = ()
) -> tuple[tuple[bytes, re.Pattern[bytes]], ...]:
    """The words that only count as part of a pattern, each with it."""
    pairs = (pair for ready in _rules(wanted, codes, language, own) for pair in ready.words.items())
    return tuple((word, re.compile(looked_for)) for looked_for, word in pairs if looked_for != word)
