"""Port one unit of Python source: find by words, judge by rules, rewrite by libcst, parse again.

text -> words -> lines -> nodes -> rules -> findings and edits -> text
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from porter.changes import Change, apply
from porter.edits import edited
from porter.findings import Finding
from porter.rules import all_rules
from porter.rules.base import Check, Rule
from porter.source import CannotParse, Source, parse
from porter.targets import TARGETS, Translation, rewriting_all, translation, undoing
from porter.unit import Found, Unit

#: Leaves letters, digits and underscores and blanks out all else, so that splitting gives a text's words.
_ONLY_WORDS = bytes(code if chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(128)) + b" " * 128

_IGNORE = re.compile(r"#\s*port:\s*ignore\b(?:\[([\w\s,-]*)\])?")

#: The code under which a file that names both devices is reported when it should be undone.
NAMES_BOTH = "DP109"


@dataclass(frozen=True)
class Plan:
    """What to port to, and by which rules (codes; None: by all).

    `source` is what to undo; None: whichever accelerator a file names, if it is a single one.
    """

    target: str
    hardware: str | None = None
    codes: frozenset[str] | None = None
    source: str | None = None


@dataclass(frozen=True)
class Ported:
    """The text as it shall be, every finding in the text as it was, and whether the helper's import was added.

    `changes` are what `text` differs by, in order. `named_both` says that the new accelerator was named before.
    """

    text: str
    findings: list[Finding] = field(default_factory=list)
    added_import: bool = False
    changes: list[Change] = field(default_factory=list)
    named_both: bool = False


def port_text(text: str, plan: Plan, added_import: bool = False) -> Ported:
    """Port a unit of source. Raises porter.source.CannotParse if it is not Python.

    `added_import` says that an earlier port added the helper's import to this unit, for undoing it.
    """
    if plan.target != "cuda":
        return _translate(text, translation(plan.target, plan.hardware), plan)
    undone = _undone(text, plan, added_import)
    if not undone:
        return Ported(text)
    if len(named := _and_cuda(undone, [text])) > 1:
        return Ported(text, [names_both(named)])
    return next(iter(undone.values()))


def accelerators_named(texts: list[str], plan: Plan) -> list[str]:
    """The accelerators that several units of one document name together; with two, it cannot be undone.

    Raises porter.source.CannotParse if one is not Python.
    """
    return _and_cuda({name: undone for text in texts for name, undone in _undone(text, plan).items()}, texts)


def names_both(named: list[str]) -> Finding:
    """That a file is not undone because it names several accelerators."""
    message = f"this file names {' and '.join(named)}; it was not undone"
    way_out = "undo it by hand, or from the version before the port"
    if "cuda" not in named:
        way_out = f"say which one to undo: --from {named[0]}"
    return Finding(NAMES_BOTH, "error", message, 1, 1, 1, 1, way_out)


def named_both_before() -> Finding:
    """That a file is not undone because it named both devices when it was ported, as a note says."""
    message = "this file named cuda and an accelerator when it was ported; it was not undone"
    way_out = "undo it by hand, or from the version before the port"
    return Finding(NAMES_BOTH, "error", message, 1, 1, 1, 1, way_out)


def _undone(text: str, plan: Plan, added_import: bool = False) -> dict[str, Ported]:
    """The text with each of the accelerators undone that it names."""
    sources = (plan.source,) if plan.source else TARGETS
    undone = {name: _translate(text, undoing(name), plan, added_import) for name in sources}
    return {name: ported for name, ported in undone.items() if ported.findings}


def _and_cuda(undone: dict[str, Ported], texts: list[str]) -> list[str]:
    """The names of the accelerators that were undone; with a single one, also "cuda" if it stands beside it."""
    named = list(undone)
    if len(named) != 1:
        return named
    return ["cuda", *named] if any(_names_cuda_beside(text, named[0]) for text in texts) else named


def _names_cuda_beside(text: str, name: str) -> bool:
    try:
        beside = _translate(text, rewriting_all(name), Plan(name))
    except CannotParse:  # a unit without the accelerator's words is not parsed before; nothing was ported in it
        return False
    return any(finding.is_fix for finding in beside.findings)


def _translate(text: str, wanted: Translation, plan: Plan, added_import: bool = False) -> Ported:
    words = _words_in(text) & _words_of_rules(wanted, plan.codes)
    checks, calling = _called_for(wanted, plan.codes, words)
    if not calling:
        return Ported(text)
    unit = Unit(Source(text), wanted, added_import)
    found = list(_not_ignored(_apply_rules(unit, checks, calling), unit.source))
    changes, found = edited(unit.source, found)
    changed = apply(text, changes)
    if changed != text:
        _must_parse(changed)
    findings = sorted({f.finding for f in found}, key=lambda f: (f.line, f.column, f.code, f.message))
    added_import = any(edit.start == edit.end for f in found for edit in f.edits)
    return Ported(changed, findings, added_import, changes, named_both=bool(changes) and unit.knows_target)


Checks = dict[type[ast.AST], list[Check]]


class _Ready(NamedTuple):
    """A rule, with its words as they stand in a file."""

    rule: Rule
    words: frozenset[bytes]
    beside: frozenset[bytes]


@cache
def _rules(wanted: Translation, codes: frozenset[str] | None) -> tuple[_Ready, ...]:
    """The rules that speak about a translation."""
    rules = [rule for rule in all_rules() if rule.applies_to(wanted) and (codes is None or rule.code in codes)]
    return tuple(_Ready(rule, _as_bytes(rule.words_for(wanted)), _as_bytes(rule.beside)) for rule in rules)


def _as_bytes(words: Iterable[str]) -> frozenset[bytes]:
    return frozenset(word.encode() for word in words)


@cache
def _words_of_rules(wanted: Translation, codes: frozenset[str] | None) -> frozenset[bytes]:
    return frozenset().union(*(ready.words | ready.beside for ready in _rules(wanted, codes)))


@cache
def _called_for(
    wanted: Translation, codes: frozenset[str] | None, words: frozenset[bytes]
) -> tuple[Checks, frozenset[bytes]]:
    """What the rules do that these words call for, by type of node, and the words that call for them."""
    checks: Checks = {}
    calling: set[bytes] = set()
    for rule, own, beside in _rules(wanted, codes):
        if own.isdisjoint(words) or (beside and beside.isdisjoint(words)):
            continue
        calling |= own & words
        for nodes, check in rule.checks:
            for node in nodes:
                checks.setdefault(node, []).append(check)
    return checks, frozenset(calling)


def _words_in(text: str) -> frozenset[bytes]:
    return frozenset(text.encode("utf-8").translate(_ONLY_WORDS).split())


def _apply_rules(unit: Unit, checks: Checks, words: frozenset[bytes]) -> Iterator[Found]:
    for node in list(unit.source.walk(unit.source.lines_of(words))):
        for check in checks.get(type(node), ()):
            yield from check(node, unit)


def _not_ignored(found: Iterable[Found], source: Source) -> Iterator[Found]:
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
    names = {name.strip().lower() for name in comment[1].split(",")}
    return code.lower() in names or any(rule.name in names for rule in all_rules() if rule.code == code)


def _must_parse(text: str) -> None:
    try:
        parse(text)
    except CannotParse as error:
        raise CannotParse(f"the ported form would not parse ({error}); this is a bug of diffsynth-port") from None
