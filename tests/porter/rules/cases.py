"""The checks that a rule's cases are written with.

A report is about the file, so every case is checked twice: as it stands, and as it is once it is ported. And a rule
has to find its case by its own words, with no other rule there to bring up the line.
"""

from __future__ import annotations

from textwrap import dedent

from porter.findings import Finding
from porter.port import Plan, Ported, port_text
from porter.rules import all_rules
from porter.rules.mem_get_info import IMPORT


def check_reported(
    text: str,
    code: str,
    severity: str,
    line: int = 1,
    target: str = "npu",
    hardware: str | None = None,
    torch_npu: str | None = None,
) -> Finding:
    """The rule reports one thing, of that severity and on that line, before the port and after. Gives the report."""
    text = dedent(text)
    found = _reports(port_text(text, Plan(target, hardware, frozenset({code}), torch_npu=torch_npu)), code)
    assert [(finding.severity, finding.line) for finding in found] == [(severity, line)]
    check_same_after_porting(text, target, hardware, torch_npu)
    return found[0]


def check_silent(
    text: str, code: str, target: str = "npu", hardware: str | None = None, torch_npu: str | None = None
) -> None:
    """The rule reports nothing, before the port and after."""
    text = dedent(text)
    plan = Plan(target, hardware, torch_npu=torch_npu)
    assert _reports(port_text(text, plan), code) == []
    assert _reports(port_text(port_text(text, plan).text, plan), code) == []


def check_same_after_porting(
    text: str, target: str = "npu", hardware: str | None = None, torch_npu: str | None = None
) -> None:
    """Every rule's reports are the same for a file and for its ported form, and porting that changes nothing."""
    plan = Plan(target, hardware, torch_npu=torch_npu)
    ported = port_text(text, plan)
    again = port_text(ported.text, plan)
    assert again.text == ported.text
    assert [_essence(finding) for finding in again.findings] == [
        _essence(finding, _lines_added_above(finding, ported)) for finding in ported.findings if not finding.is_fix
    ]


def _reports(ported: Ported, code: str) -> list[Finding]:
    fixes = {rule.code for rule in all_rules() if rule.fixes}
    return [found for found in ported.findings if found.code == code and (code in fixes or not found.is_fix)]


def _essence(finding: Finding, lines_added: int = 0) -> tuple[str, str, str, int]:
    return finding.code, finding.severity, finding.message, finding.line + lines_added


def _lines_added_above(finding: Finding, ported: Ported) -> int:
    """The import of the helper, where the port added it."""
    if not any(change.new.strip() == IMPORT for change in ported.changes):
        return 0
    lines = [line.strip() for line in ported.text.splitlines()]
    return int(lines.index(IMPORT) < finding.line)
