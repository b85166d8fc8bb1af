"""A shell script: one unit, in UTF-8. One without a word of the rules is passed over, whatever its encoding.

Commands within another document are ported like a script, but nothing is added to them. The text given has a character
for each of the document's, so that changes of one are changes of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.commenting import SHELL, Commenting
from porter.documents.completed import completed
from porter.documents.document import PortedBytes, port_document
from porter.findings import SUPPORTS_BOTH
from porter.port import Language, Plan, Ported, port_text
from porter.rules import rules_for
from porter.shell.both_branches import sifted
from porter.shell.script import ShellScript
from porter.source import CannotParse


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort. `name` is the file's path: scripts that it launches are looked for from there."""
    return port_document(data, plan, Language("shell", partial(ShellScript, path=name), parts, sift=sifted), reasons)


def parts(script: ShellScript, words: frozenset[bytes]) -> Iterator[Any]:
    """What rules look at."""
    yield script
    yield from script.commands
    yield from script.launches


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
