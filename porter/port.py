"""Port one text, in whichever language: find by words, judge by rules, rewrite, read it again.

text -> words -> parts -> rules -> findings and edits -> text
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from porter import commenting
from porter.both_devices import sifted
from porter.candidates import Call, called_for
from porter.changes import Change, apply
from porter.commenting import Commenting
from porter.edits import edited
from porter.findings import UNSAFE, Finding
from porter.ignore_comments import Ignores
from porter.source import CannotParse, Source, parse_changed
from porter.tables import USUAL
from porter.targets import Translation, rewriting_all, translation, undoing
from porter.text_unit import TextUnit
from porter.unit import Found, Unit

if TYPE_CHECKING:
    from porter.analysis.custom.rule_settings import CustomRule

#: The code under which a file that names both devices is reported when it should be undone.
NAMES_BOTH = "DP109"


@dataclass(frozen=True)
class Plan:
    """What to port to, and by which rules (codes; None: by all).

    `source` is the accelerator whose words are undone; None: the usual one's. `torch_npu` is a known build of the
    package; None: the newest. `keep_cuda` ports so that the program still runs on CUDA. `classes` are those of the
    run's files that have a `cuda` of their own, `flags` those that ask for CUDA beside one for another accelerator, as
    porter.definitions gives both. `applies` says that what analyses propose is to be written.
    `own` are the project's own rules. `shows_edits` asks which finding changes what. Without `unsafe`, edits that may
    change what the program means are only proposed. `fixes_ignores` takes ignore comments out that do nothing;
    `adds_ignores` ports nothing, and adds them where there is a finding.
    """

    target: str
    hardware: str | None = None
    codes: frozenset[str] | None = None
    source: str | None = None
    torch_npu: str | None = None
    keep_cuda: bool = False
    classes: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    applies: bool = False
    own: tuple[CustomRule, ...] = ()
    shows_edits: bool = False
    unsafe: bool = True
    fixes_ignores: bool = False
    adds_ignores: bool = False

    @property
    def undoes(self) -> bool:
        return self.target == "cuda"

    @property
    def translation(self) -> Translation:
        """From CUDA to the target, or from what is undone back to CUDA."""
        if self.undoes:
            return undoing(self.source or USUAL)
        return translation(self.target, self.hardware, self.torch_npu)


@dataclass(frozen=True)
class Language:
    """How texts of one kind are read. `name` is that of the folder of its rules.

    `parts` gives what rules look at, one by one; those that hold none of the words that call for a rule may be left
    out. `unit` is what rules are given beside a part. `sift` has the last word on what they found. `check` reads
    what of the source was rewritten; None: the whole text is parsed again. `commenting` is how comments are written.
    """

    name: str
    parse: Callable[[str], Any]
    parts: Callable[[Any, frozenset[bytes]], Iterable[Any]]
    unit: Callable[[Any, Translation], Any] = TextUnit
    check: Callable[[Any, Sequence[Change]], Any] | None = None
    sift: Callable[[list[Found], Any, frozenset[str] | None], list[Found]] = lambda found, unit, codes: found
    own: tuple[CustomRule, ...] = ()
    commenting: Commenting = commenting.SHELL


PYTHON = Language("python", Source, Source.naming, Unit, parse_changed, sifted, commenting=commenting.PYTHON)


@dataclass(frozen=True)
class Ported:
    """The text as it shall be, every finding in the text as it was, and what `text` differs by, in order.

    `edits` are, where the plan shows them, the changes of each finding as if it were the only one. `left_out` are the
    findings that comments ask to leave out.
    """

    text: str
    findings: list[Finding] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    edits: dict[Finding, list[Change]] = field(default_factory=dict)
    left_out: tuple[Finding, ...] = ()


def port_text(text: str, plan: Plan, language: Language = PYTHON) -> Ported:
    """Port a text. Raises porter.source.CannotParse if it is none in this language."""
    if language is PYTHON and (plan.classes or plan.flags or plan.applies):
        unit = partial(Unit, classes=plan.classes, flags=plan.flags, applies=plan.applies)
        language = replace(language, unit=unit)
    if language.name == PYTHON.name and plan.own:
        language = replace(language, own=plan.own)
    if plan.keep_cuda and not plan.undoes:
        return _keeping_cuda(text, plan, language)
    ported = _translated(text, plan, language)
    if plan.undoes and ported.findings and names_cuda([text], plan, language):
        return Ported(text, [names_both(plan)])
    return ported


def calls_for_nothing(data: bytes, plan: Plan, language: Language) -> bool:
    """Whether a file holds no word of the rules, in UTF-8 or an encoding that ASCII is part of."""
    return not called_for(data, plan.translation, plan.codes, language.name).checks


def names_cuda(texts: Iterable[str], plan: Plan, language: Language = PYTHON) -> bool:
    """Whether a port of what is to be undone would find something to rename: what it would only add does not count."""
    wanted = rewriting_all(plan.source or USUAL)
    for text in texts:
        try:
            _, found, _ = _found(text, wanted, None, language)
        except CannotParse:  # without the accelerator's words, it is not parsed before; nothing was ported in it
            continue
        if any(edit.start < edit.end for one in found for edit in one.edits):
            return True
    return False


def names_both(plan: Plan) -> Finding:
    """That a file is not undone because it names CUDA and the accelerator, and no record tells who wrote which."""
    message = f"this file names cuda and {plan.source or USUAL}; it was not undone"
    way_out = "undo it by hand, or from the version before the port"
    return Finding(NAMES_BOTH, "error", message, 1, 1, 1, 1, way_out)


def _translated(text: str, plan: Plan, language: Language) -> Ported:
    source, found, left_out = _found(text, plan.translation, plan.codes, language)
    if source is None:
        return Ported(text)
    made, proposed = _by_applicability(found, plan)
    changes, made = edited(source, made)
    changed = apply(text, changes)
    if changed != text:
        _check(source, changes, changed, language)
    findings = sorted({one.finding for one in (*made, *proposed)}, key=in_order)
    edits = _edits(source, (*made, *proposed)) if plan.shows_edits else {}
    return Ported(changed, findings, changes, edits, tuple(left_out))


def _by_applicability(found: Iterable[Found], plan: Plan) -> tuple[list[Found], list[Found]]:
    """The fixes that are made, and all else: reports, what is only proposed, unsafe fixes that nobody wants."""
    made: list[Found] = []
    proposed: list[Found] = []
    for one in found:
        is_wanted = plan.unsafe or plan.undoes or one.finding.applicability != UNSAFE
        if one.finding.is_fix and is_wanted:
            made.append(one)
        else:
            proposed.append(_held(one) if one.finding.is_fix else one)
    return made, proposed


def _held(one: Found) -> Found:
    """An unsafe fix that is not made: a person decides."""
    finding = one.finding
    message = f"left as it is, since this is not sure: {finding.message}"
    way_out = f"{finding.way_out}: --unsafe-fixes makes the change, # port: ignore[{finding.code}] keeps the place"
    return one._replace(finding=finding._replace(severity="warning", message=message, way_out=way_out))


def _edits(source: Any, found: Iterable[Found]) -> dict[Finding, list[Change]]:
    """What each finding changes by itself; where two say the same, both together."""
    by_finding: dict[Finding, list[Found]] = {}
    for one in found:
        if one.edits:
            by_finding.setdefault(one.finding, []).append(one)
    return {finding: edited(source, same)[0] for finding, same in by_finding.items()}


def _keeping_cuda(text: str, plan: Plan, language: Language) -> Ported:
    """Both devices are served by one text in Python; elsewhere what would be renamed is reported."""
    from porter.keep_cuda import expressions, keeping_cuda, kept

    wanted = plan.translation
    source, usual, left_out = _found(text, wanted, plan.codes, language)
    if source is None:
        return Ported(text)
    ported = {one.finding.line for one in usual if one.finding.is_fix}  # not what serves both already
    usual, proposed = _by_applicability(usual, plan)
    reports = [one.finding for one in proposed]
    reports += [_for_one_device(one.finding, wanted) for one in usual if _is_own(one.finding, language)]
    if language.name != PYTHON.name:
        left = (one.finding._replace(severity="note", applicability="") for one in usual)
        reports += [one._replace(message=f"on {wanted.new.name}, {one.message}") for one in left]
        return Ported(text, sorted(reports, key=in_order), left_out=tuple(left_out))
    source, found, also_left_out = _found(text, keeping_cuda(wanted), plan.codes, language)
    left_out += also_left_out
    if source is None:
        return Ported(text, sorted(reports, key=in_order), left_out=tuple(left_out))
    found, held = _by_applicability([one for one in found if not one.edits or one.finding.line in ported], plan)
    found += [Found(one.finding._replace(applicability="")) for one in held]
    changes, found = edited(source, kept(found, language.unit(source, keeping_cuda(wanted))))
    edits = _edits(source, found) if plan.shows_edits else {}
    edits = {finding: expressions(own, text) for finding, own in edits.items()}
    others = [one for one in proposed if not one.finding.code.startswith("DP1")]
    edits |= _edits(source, others) if plan.shows_edits else {}
    changes = expressions(changes, text)
    changed = apply(text, changes)
    if changed != text:
        _check(source, changes, changed, language)
    own = {one.finding for one in found} | {one for one in reports if not one.code.startswith("DP1")}
    return Ported(changed, sorted(own, key=in_order), changes, edits, tuple(left_out))


def _is_own(finding: Finding, language: Language) -> bool:
    return any(rule.code == finding.code for rule in language.own)


def _for_one_device(finding: Finding, wanted: Translation) -> Finding:
    """What a project's own rule renames for the accelerator alone."""
    message = f"on {wanted.new.name}, {finding.message}; it stays as it is"
    return finding._replace(severity="note", message=message, way_out="choose by the device", applicability="")


def in_order(finding: Finding) -> tuple[int, int, str, str]:
    return finding.line, finding.column, finding.code, finding.message


def left_out_of(text: str, plan: Plan, language: Language) -> list[Finding]:
    """What comments ask to leave out of what the rules say of a text. Raises porter.source.CannotParse."""
    return _found(text, plan.translation, plan.codes, language)[2]


def _found(
    text: str, wanted: Translation, codes: frozenset[str] | None, language: Language
) -> tuple[Any, list[Found], list[Finding]]:
    """The parsed text, what the rules say of it, and what comments leave out of that.

    Without a word of the rules, it is not parsed.
    """
    called = called_for(text, wanted, codes, language.name, language.own)
    if not called.checks:
        return None, [], []
    source = language.parse(text)
    unit = language.unit(source, wanted)
    found = language.sift(list(_judged(language.parts(source, called.words), unit, called)), unit, codes)
    return source, *Ignores(text, language.commenting).split(found)


def _judged(parts: Iterable[Any], unit: Any, called: Call) -> Iterator[Found]:
    checks_of = called.checks.get
    for part in parts:
        for check in checks_of(type(part), ()):
            yield from check(part, unit)


def _check(source: Any, changes: Sequence[Change], text: str, language: Language) -> None:
    try:
        if language.check is not None:
            language.check(source, changes)
            return
    except CannotParse:  # then the whole text has the word
        pass
    try:
        language.parse(text)
    except CannotParse as error:
        raise CannotParse(f"the ported form would not parse ({error}); this is a bug of diffsynth-port") from None
