"""Ignore comments that do nothing: names that are no rule, and rules that find nothing there.

What is said of a text has to be complete before: a comment is unused if none of all the findings left out was its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from porter.changes import Change, apply
from porter.commenting import Commenting
from porter.findings import SAFE, Finding
from porter.ignore_comments import Directive, Ignores, is_named
from porter.port import PYTHON, Plan, left_out_of
from porter.rules import all_rules, usual_rules
from porter.rules.named_line import RULE as NAMED_LINE
from porter.rules.rule import Rule
from porter.rules.unknown_ignore import RULE as UNKNOWN
from porter.rules.unused_ignore import RULE as UNUSED
from porter.settings import every_rule
from porter.source import CannotParse

_IMPORTS = re.compile(r"[ \t]*(?:import|from)\b")

#: What another comment begins with, behind such a one and its reason.
_ANOTHER = re.compile(r"\s(?=#\s*[A-Za-z])")


class Unused:
    """What is said of a text's ignore comments, and how it changes each of them."""

    def __init__(self, text: str, commenting: Commenting, left_out: Sequence[Finding], plan: Plan) -> None:
        self._text, self._commenting, self._left_out, self._plan = text, commenting, left_out, plan
        self._ignores = Ignores(text, commenting)
        self.findings: list[Finding] = []
        self.changes: dict[Finding, Change] = {}
        if plan.undoes or not self._ignores.directives:
            return
        self._starts = _line_starts(text)
        for directive in self._ignores.directives:
            if directive.broken:
                self.findings += [_broken(directive)] if _is_on(UNKNOWN, plan) else []
                continue
            if _is_on(UNKNOWN, plan):
                self.findings += [_unknown(name, directive) for name in self._unknown_in(directive)]
            if _is_on(UNUSED, plan):
                self._judge(directive)

    def _unknown_in(self, directive: Directive) -> list[str]:
        rules = every_rule(self._plan.own)
        codes = self._plan.codes or ()
        return [
            name
            for name in directive.names or ()
            if not any(rule.is_named(name) for rule in rules)
            and not any(code.startswith(name.upper()) for code in codes)
        ]

    def _judge(self, directive: Directive) -> None:
        if directive.names == ():
            self._said(directive, "this comment ignores nothing: it names no rule", None)
            return
        own = [one for one in self._left_out if self._ignores.hold(directive, one)]
        if directive.names is None:
            if not own and self._finds_nothing_at_all(directive):
                self._said(directive, "this comment ignores nothing: no rule finds anything there", None)
            return
        unused = [name for name in directive.names if self._is_judged(name) and not _is_used(name, own)]
        if unused:
            kept = tuple(name for name in directive.names if name not in unused)
            message = f"this comment ignores {' and '.join(unused)}, which {_find(len(unused))} nothing there"
            self._said(directive, message, kept)

    def _said(self, directive: Directive, message: str, kept: tuple[str, ...] | None) -> None:
        is_made = self._plan.fixes_ignores
        change = self._less(directive, kept)
        way_out = "--fix-unused-ignores takes it out" if change else "take it out by hand"
        severity, way_out = ("fix", "") if is_made and change else ("note", way_out)
        finding = _finding(UNUSED.code, severity, directive, message, way_out)
        if change is not None:
            finding = finding._replace(applicability=SAFE)
            self.changes[finding] = change
        self.findings.append(finding)

    def _is_judged(self, name: str) -> bool:
        """Whether the run goes by every rule that is meant, so that its silence says something."""
        if name.upper() == UNUSED.code or name.lower() == UNUSED.name:
            return False
        meant = [rule for rule in every_rule(self._plan.own) if rule.is_named(name) and _can_find(rule)]
        return bool(meant) and all(
            _is_on(rule, self._plan) and rule.applies_to(self._plan.translation) for rule in meant
        )

    def _finds_nothing_at_all(self, directive: Directive) -> bool:
        """Whether every usual rule was asked, and no analysis, which this run may leave out, finds anything either."""
        if not all(_is_on(rule, self._plan) for rule in usual_rules()):
            return False
        if self._commenting.code is not PYTHON.commenting.code:
            return True
        if _IMPORTS.match(
            self._text, self._starts[directive.line - 1]
        ):  # of which a survey of packages may have a word
            return False
        others = replace(self._plan, codes=_of_analyses(), own=())
        try:
            return not any(self._ignores.hold(directive, one) for one in left_out_of(self._text, others, PYTHON))
        except CannotParse:
            return True

    def _less(self, directive: Directive, kept: tuple[str, ...] | None) -> Change | None:
        """The change that takes a comment out of its line, or names out of it; a line that is empty then goes too.

        None where more than a comment would change.
        """
        change = self._without(directive, kept)
        try:
            is_same = self._commenting.code(apply(self._text, [change])) == self._commenting.code(self._text)
        except ValueError:
            return None
        return change if is_same else None

    def _without(self, directive: Directive, kept: tuple[str, ...] | None) -> Change:
        line = self._starts[directive.line - 1]
        comment = line + directive.column - 1
        start, end = comment + directive.start, comment + directive.end
        if kept:
            names = self._text.index("[", start) + 1
            return Change(names, end - 1, ", ".join(kept))
        another = _ANOTHER.search(directive.comment, directive.end)
        if another:
            return Change(start, comment + another.end(), "")
        end = comment + len(directive.comment.rstrip("\r"))
        before = self._text[line:start].rstrip()
        if before or directive.line == len(self._starts):
            return Change(line + len(before), end, "")
        return Change(line, self._starts[directive.line], "")


def _unknown(name: str, directive: Directive) -> Finding:
    message = f'this comment ignores "{name}", which is no rule'
    return _finding(UNKNOWN.code, "warning", directive, message, "diffsynth-port --list-rules names them all")


def _broken(directive: Directive) -> Finding:
    names = ", ".join(directive.names or ())
    said = directive.comment[directive.start : directive.end]
    closed = said.rstrip().endswith("]") or "[" not in said
    why = "it does not name rules between brackets, with commas" if closed else "its bracket is not closed"
    message = f"this comment is broken, and ignores {f'only {names}' if names else 'nothing'}: {why}"
    way_out = f"write port: ignore{'-file' if directive.whole else ''}[{names or 'RULE'}]"
    return _finding(UNKNOWN.code, "warning", directive, message, way_out)


def _can_find(rule: Rule) -> bool:
    """Whether a run over a file would have had its word: others judge blocks, records and packages."""
    return bool(rule.checks) or rule is NAMED_LINE


def _is_on(rule: Rule, plan: Plan) -> bool:
    return rule.analysis is None if plan.codes is None else rule.code in plan.codes


@cache
def _of_analyses() -> frozenset[str]:
    return frozenset(rule.code for rule in all_rules() if rule.analysis is not None)


def _is_used(name: str, own: Sequence[Finding]) -> bool:
    return any(is_named(one.code, name) for one in own)


def _find(count: int) -> str:
    return "finds" if count == 1 else "find"


def _finding(code: str, severity: str, directive: Directive, message: str, way_out: str) -> Finding:
    start, end = directive.column + directive.start, directive.column + directive.end
    return Finding(code, severity, message, directive.line, start, directive.line, end, way_out)


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", text))]
