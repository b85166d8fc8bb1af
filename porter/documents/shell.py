"""A shell script: one unit, in UTF-8. One without a word of the rules is passed over, whatever its encoding.

Commands within another document are ported like a script, but nothing is added to them. The text given has a character
for each of the document's, so that changes of one are changes of the other.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.changes import LINE
from porter.commenting import SHELL, Commenting
from porter.documents.completed import completed
from porter.documents.document import CannotPort, PortedBytes, byte_order_mark, decode, port_document, written
from porter.findings import SUPPORTS_BOTH
from porter.port import Language, Plan, Ported, port_text
from porter.rules import rules_for
from porter.shell.both_branches import sifted
from porter.shell.script import ShellScript
from porter.source import CannotParse

#: A line of a file of variables that bash reads as such files are read.
_VARIABLE = re.compile(r"\s*(?:export\s+)?\w+=[^\s'\"`$\\;&|<>()]*\s*(?:#.*\s*)?")


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort. `name` is the file's path: scripts that it launches are looked for from there."""
    language = Language("shell", partial(ShellScript, path=name), parts, sift=sifted)
    try:
        return port_document(data, plan, language, reasons)
    except CannotPort:
        if ".env" not in os.path.basename(name):
            raise
        return _port_variables(name, data, plan)


def _port_variables(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """A file of variables that is no bash, `NOTE=it's fine`: line by line. Raises CannotPort."""
    text = decode(data, byte_order_mark(data))
    lines = (line if _VARIABLE.fullmatch(line) else re.sub(r"[^\r\n]", "#", line) for line in LINE.findall(text))
    commenting = replace(SHELL, original=text)
    ported = ported_shell("".join(lines), plan, name, commenting)
    return written(data, text, completed(text, ported, plan, commenting, reasons))


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
