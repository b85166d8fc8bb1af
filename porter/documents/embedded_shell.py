"""Shell commands within another document: ported like a script, but nothing is added to them.

The text given has a character for each of the document's, so that changes of one are changes of the other.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from porter.accounting.commented_text import reasons
from porter.commenting import SHELL, Commenting
from porter.documents.completed import completed
from porter.documents.shell import parts
from porter.findings import SUPPORTS_BOTH
from porter.port import Language, Plan, Ported, port_text
from porter.rules import rules_for
from porter.shell.both_branches import sifted
from porter.shell.script import ShellScript
from porter.source import CannotParse

#: Rules that add exports and options to launches: a document shows commands, and is no script to be run.
_ADD = frozenset({"DP401", "DP402", "DP403"})


def port_shell(text: str, plan: Plan, path: str) -> Ported:
    """What there is to say of shell commands. What is no bash stays as it is, and is only looked through."""
    return completed(text, ported_shell(text, plan, path, SHELL), plan, SHELL, reasons)


def ported_shell(text: str, plan: Plan, path: str, commenting: Commenting) -> Ported:
    """What the rules say of shell commands."""
    codes = (
        frozenset((SUPPORTS_BOTH, *(rule.code for rule in rules_for("shell")))) if plan.codes is None else plan.codes
    )
    language = Language("shell", partial(ShellScript, path=path), parts, sift=sifted, commenting=commenting)
    try:
        return port_text(text, replace(plan, codes=codes - _ADD), language)
    except (CannotParse, RecursionError):
        return Ported(text)
