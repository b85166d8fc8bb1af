"""Port one unit of Python source: find by words, judge by rules, rewrite by libcst, parse again.

text -> words -> lines -> nodes -> rules -> findings and edits -> text
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from porter.candidates import Call, called_for
from porter.changes import Change, apply
from porter.edits import edited
from porter.findings import Finding
from porter.ignore_comments import not_ignored
from porter.source import CannotParse, Source, parse
from porter.targets import TARGETS, Translation, rewriting_all, translation, undoing
from porter.unit import Found, Unit

#: The code under which a file that names both devices is reported when it should be undone.
NAMES_BOTH = "DP109"


@dataclass(frozen=True)
class Plan:
    """What to port to, and by which rules (codes; None: by all).

    `source` is what to undo; None: whichever accelerator a file names, if it is a single one. `torch_npu` is a known
    build of the package; None: the newest.
    """

    target: str
    hardware: str | None = None
    codes: frozenset[str] | None = None
    source: str | None = None
    torch_npu: str | None = None

    @property
    def translation(self) -> Translation:
        """From CUDA to the target; there is none for undoing."""
        return translation(self.target, self.hardware, self.torch_npu)


@dataclass(frozen=True)
class Ported:
    """The text as it shall be, every finding in the text as it was, and whether the helper's import was added.

    `changes` are what `text` differs by, in order. `named_both` says that the new accelerator was named before.
    `added` are the notes of what undoing cannot read off a shell script.
    """

    text: str
    findings: list[Finding] = field(default_factory=list)
    added_import: bool = False
    changes: list[Change] = field(default_factory=list)
    named_both: bool = False
    added: frozenset[str] = frozenset()


def port_text(text: str, plan: Plan, added_import: bool = False) -> Ported:
    """Port a unit of source. Raises porter.source.CannotParse if it is not Python.

    `added_import` says that an earlier port added the helper's import to this unit, for undoing it.
    """
    if plan.target != "cuda":
        return _translate(text, plan.translation, plan)
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
    called = called_for(text, wanted, plan.codes)
    if not called.checks:
        return Ported(text)
    unit = Unit(Source(text), wanted, added_import)
    found = list(not_ignored(_apply_rules(unit, called), unit.source))
    changes, found = edited(unit.source, found)
    changed = apply(text, changes)
    if changed != text:
        _must_parse(changed)
    findings = sorted({f.finding for f in found}, key=lambda f: (f.line, f.column, f.code, f.message))
    added_import = any(edit.start == edit.end for f in found for edit in f.edits)
    return Ported(changed, findings, added_import, changes, named_both=bool(changes) and unit.knows_target)


def _apply_rules(unit: Unit, called: Call) -> Iterator[Found]:
    checks_of = called.checks.get
    for node in list(unit.source.walk(unit.source.lines_of(called.words))):
        for check in checks_of(type(node), ()):
            yield from check(node, unit)


def _must_parse(text: str) -> None:
    try:
        parse(text)
    except CannotParse as error:
        raise CannotParse(f"the ported form would not parse ({error}); this is a bug of diffsynth-port") from None
