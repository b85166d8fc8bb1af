"""What a rewriting rule is tested by: a text before and after, or a text that stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from textwrap import dedent

import pytest
from _pytest.mark import ParameterSet

from porter.findings import Finding
from porter.port import Plan, Ported, port_text
from porter.record import entry_of, restored

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
HELPER_IMPORT = "from diffsynth.core.device.npu_compatible_device import get_device_name"


def ported(text: str, target: str = "npu") -> Ported:
    return port_text(plain(text), Plan(target))


def check_transformed(before: str, after: str, target: str = "npu", *, one_way: str = "") -> None:
    """`before` becomes `after`, a second run changes nothing, and undoing by the record gives `before` again.

    Every line that changes has a fix among the findings. `one_way` says why undoing by words leads elsewhere.
    """
    before, after = plain(before), plain(after)
    assert before != after, "nothing changes here: this is a case for check_noop"
    first = port_text(before, Plan(target))
    assert first.text == after
    assert _lines_without_a_fix(before, after, first.findings) == []
    assert port_text(after, Plan(target)).text == after
    bytes_before, bytes_after = before.encode(), after.encode()
    assert restored(bytes_after, entry_of(bytes_before, bytes_after, [target])).data == bytes_before
    undone = port_text(after, Plan("cuda")).text
    if target == "npu" and HELPER_IMPORT not in after:
        assert (undone == before) == (not one_way), undone


def check_noop(before: str, target: str = "npu") -> None:
    """The text stays as it is, and no finding says otherwise."""
    before = plain(before)
    result = port_text(before, Plan(target))
    assert result.text == before
    assert [finding for finding in result.findings if finding.is_fix] == []


def check_reported(before: str, code: str, severity: str, target: str = "npu") -> Finding:
    """The text stays as it is, and the rule `code` says once that a person has to look."""
    check_noop(before, target)
    of_the_rule = [finding for finding in ported(before, target).findings if finding.code == code]
    assert [finding.severity for finding in of_the_rule] == [severity]
    return of_the_rule[0]


def plain(text: str) -> str:
    return dedent(text).removeprefix("\n")


def _lines_without_a_fix(before: str, after: str, findings: list[Finding]) -> list[str]:
    old, new = ([line.rstrip("\r\n") for line in _LINE.findall(text)] for text in (before, after))
    fixes = [finding for finding in findings if finding.is_fix]
    fixed = {line for finding in fixes for line in range(finding.line, finding.end_line + 1)}
    adds_the_import = any(finding.code == "DP103" for finding in fixes)
    missing = []
    for kind, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        missing += [old[at] for at in range(start, end) if at + 1 not in fixed]
        if kind == "insert" and not adds_the_import:
            missing += new[new_start:new_end]
    return missing


def befores(*cases: Iterable[ParameterSet]) -> list[ParameterSet]:
    """The texts before of several lists of cases, under the same ids."""
    return [pytest.param(case.values[0], id=case.id) for list_of_cases in cases for case in list_of_cases]


def check_text_for_people(before: str) -> None:
    """What a rule rewrites stays as it is in a comment, in a docstring and in a string that is printed."""
    before = plain(before)
    check_noop("".join(f"# {line}\n" for line in before.splitlines()))
    check_noop(f"def f():\n    r'''For example:\n\n{before}\n    '''\n")
    check_noop(f"print(r'''\n{before}\n''')\n")
