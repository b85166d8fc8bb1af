"""`[tool.diffsynth-port.rules.X001]` in pyproject.toml: what a project's own rule says, checked key by key.

[tool.diffsynth-port.rules.X001]
rename-call = "our_lib.init_cuda"
to = "our_lib.init_npu"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CODE = re.compile(r"[A-Z][A-Z0-9]{0,3}\d{3}")
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_GLOB = re.compile(r"[^\W\d]\w*(?:\.[\w*]+)*")
_SEVERITIES = ("note", "warning", "error")

#: By what a rule does: the keys that it has to have beside that one, and those that it may have.
_KINDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "rename-call": (frozenset({"to"}), frozenset({"message"})),
    "rename-argument": (frozenset({"to", "of"}), frozenset({"message"})),
    "rename-module": (frozenset({"to"}), frozenset({"message"})),
    "report": (frozenset({"message"}), frozenset({"help", "severity"})),
    "report-pattern": (frozenset({"message"}), frozenset({"help", "severity"})),
}


class CustomRuleError(Exception):
    """A rule of a project's own cannot be followed; the message names the key, what was expected and what to do."""


@dataclass(frozen=True)
class CustomRule:
    """One rule. `what` is the call, argument, module, name or pattern that it is about, `kind` the key that says so.

    `to` is what it becomes, `of` the call whose argument it is.
    """

    code: str
    kind: str
    what: str
    to: str = ""
    of: str = ""
    message: str = ""
    help: str = ""
    severity: str = "warning"


def read_rules(table: Mapping[str, Any], where: str) -> tuple[CustomRule, ...]:
    """The rules of a table, by code. `where` names file and table for the messages. Raises CustomRuleError."""
    return tuple(_rule(code, row, f"{where}.{code}]") for code, row in sorted(table.items()))


def _rule(code: str, row: Any, where: str) -> CustomRule:
    if not _CODE.fullmatch(code):
        raise CustomRuleError(f"{where} the code should be capital letters and three digits, such as X001")
    if code.startswith("DP"):
        raise CustomRuleError(f"{where} codes that begin with DP are those of diffsynth-port; take another letter")
    if not isinstance(row, dict):
        raise CustomRuleError(f"{where} should be a table")
    kinds = [kind for kind in _KINDS if kind in row]
    if len(kinds) != 1:
        found = " and ".join(kinds) if kinds else "none of them"
        raise CustomRuleError(f"{where} should have one of {', '.join(_KINDS)}, found {found}")
    kind = kinds[0]
    needed, allowed = _KINDS[kind]
    for key, value in row.items():
        if key not in needed | allowed | {kind}:
            known = ", ".join(sorted(needed | allowed | {kind}))
            raise CustomRuleError(f'{where} unknown key "{key}" beside {kind}; known keys: {known}')
        if not isinstance(value, str) or not value:
            raise CustomRuleError(f"{where} {key} should be a text, found {value!r}")
    if missing := sorted(needed - row.keys()):
        raise CustomRuleError(f"{where} {kind} needs {' and '.join(missing)} beside it")
    _check_values(kind, row, where)
    plain = {key: row[key] for key in row.keys() & {"to", "of", "message", "help", "severity"}}
    return CustomRule(code, kind, row[kind], **plain)


def _check_values(kind: str, row: Mapping[str, str], where: str) -> None:
    if kind == "report-pattern":
        try:
            re.compile(row[kind])
        except re.error as error:
            raise CustomRuleError(f"{where} {kind} is not a regular expression: {error}") from None
    elif kind == "report":
        if not _GLOB.fullmatch(row[kind]):
            raise CustomRuleError(f"{where} {kind} should be a dotted name, in which * stands for anything")
    else:
        for key in (kind, "to", "of"):
            if key in row and not _NAME.fullmatch(row[key]):
                raise CustomRuleError(f"{where} {key} should be a dotted name, found {row[key]!r}")
    if kind == "rename-argument" and ("." in row[kind] or "." in row["to"]):
        raise CustomRuleError(f"{where} an argument has no dots in its name; the call goes into of")
    if row.get("severity", "note") not in _SEVERITIES:
        raise CustomRuleError(f"{where} severity should be one of {', '.join(_SEVERITIES)}, found {row['severity']!r}")
