"""Port a text that is not Python: the same way as porter.port, for what another parser reads.

text -> words -> parts -> rules -> findings and edits -> text
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from porter.candidates import called_for
from porter.changes import apply
from porter.edits import edited
from porter.ignore_comments import not_ignored
from porter.lines import Lines
from porter.port import Plan, Ported, names_both
from porter.port_notes import NAMED_BOTH
from porter.source import CannotParse
from porter.targets import TARGETS, Translation, translation, undoing
from porter.text_unit import TextUnit, kept, names_renamed
from porter.unit import Found


@dataclass(frozen=True)
class Language:
    """How texts of one kind are read. `name` is that of the rules; `parts` are what they look at, one by one.

    `notes` are those that hold of a text before it is ported, given the ones that earlier ports made.
    """

    name: str
    parse: Callable[[str], Any]
    parts: Callable[[Any], Iterable[Any]]
    notes: Callable[[Any, Translation, frozenset[str]], frozenset[str]] = lambda source, wanted, added: frozenset()


def port_lines(text: str, plan: Plan, language: Language, added: frozenset[str] = frozenset()) -> Ported:
    """Port a text. Raises porter.source.CannotParse. `added` are the notes that earlier ports made of it."""
    if plan.target != "cuda":
        return _translate(text, plan.translation, plan, language, added)
    sources = (plan.source,) if plan.source else TARGETS
    undone = {name: _translate(text, undoing(name), plan, language, added) for name in sources}
    named = [name for name, ported in undone.items() if ported.findings]
    if len(named) == 1 and _names_cuda_beside(text, named[0], plan, language):
        named.insert(0, "cuda")
    if len(named) > 1:
        return Ported(text, [names_both(named)])
    return undone[named[0]] if named else Ported(text)


def calls_for_nothing(data: bytes, plan: Plan, language: Language) -> bool:
    """Whether a file holds no word of the rules, in UTF-8 or an encoding that ASCII is part of."""
    if plan.target != "cuda":
        wanted = [plan.translation]
    else:
        wanted = [undoing(name) for name in ((plan.source,) if plan.source else TARGETS)]
    return not any(called_for(data, one, plan.codes, language.name).checks for one in wanted)


def _translate(text: str, wanted: Translation, plan: Plan, language: Language, added: frozenset[str]) -> Ported:
    source, found = _found(text, wanted, plan, language, added)
    if source is None:
        return Ported(text)
    changes, found = edited(source, found)
    changed = apply(text, changes)
    if changed != text:
        _must_parse(changed, language)
    findings = sorted({f.finding for f in found}, key=lambda f: (f.line, f.column, f.code, f.message))
    if wanted.undoes or not changes:
        return Ported(changed, findings, changes=changes)
    before, new = language.notes(source, wanted, added), frozenset(note for one in found for note in one.notes)
    both = any(kept(name) in before for name in names_renamed(new)) or (NAMED_BOTH in added and bool(before))
    return Ported(changed, findings, changes=changes, named_both=both, added=before | new)


def _found(
    text: str, wanted: Translation, plan: Plan, language: Language, added: frozenset[str]
) -> tuple[Lines | None, list[Found]]:
    """The parsed text and what the rules say of it; without a word of theirs, it is not parsed."""
    called = called_for(text, wanted, plan.codes, language.name)
    if not called.checks:
        return None, []
    source = language.parse(text)
    unit = TextUnit(source, wanted, added)
    checks = ((check, part) for part in language.parts(source) for check in called.checks.get(type(part), ()))
    found = (one for check, part in checks for one in check(part, unit))
    return source, list(not_ignored(found, source))


def _names_cuda_beside(text: str, name: str, plan: Plan, language: Language) -> bool:
    """Whether there is something left to rename: what a port would add does not count."""
    _, found = _found(text, translation(name), Plan(name), language, frozenset())
    return any(names_renamed(one.notes) for one in found)


def _must_parse(text: str, language: Language) -> None:
    try:
        language.parse(text)
    except CannotParse as error:
        raise CannotParse(f"the ported form would not parse ({error}); this is a bug of diffsynth-port") from None
