"""A Makefile: its recipes as shell, of which every other line is blanked out."""

from __future__ import annotations

import re

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.changes import apply
from porter.documents.document import PortedBytes, byte_order_mark, decode, encode, with_edits
from porter.documents.shell import port_shell
from porter.port import Plan
from porter.rules.named_line import RULE, left_lines

#: A line of a recipe, with those that it goes on in; what make itself reads before the command is no part of it.
_RECIPE = re.compile(r"^\t[ \t]*(?P<marks>[@+-]*)(?P<command>(?:[^\n\\]|\\(?:\r?\n|.))*)", re.MULTILINE)


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    mark = byte_order_mark(data)
    text = decode(data, mark)
    shell = port_shell(as_shell(text), plan, name)
    findings = [one for one in with_edits(text, shell) if one.code != RULE.code]
    findings += list(left_lines(text, reasons, findings, plan))
    return PortedBytes(mark + encode(apply(text, shell.changes)) if shell.changes else data, tuple(findings))


def as_shell(text: str) -> str:
    """The recipes, character for character: `$(NAME)`, a variable of make, is written as bash writes one."""
    pieces: list[str] = []
    at = 0
    for found in _RECIPE.finditer(text):
        pieces.append(re.sub(r"[^\r\n]", " ", text[at : found.start("command")]))
        pieces.append(re.sub(r"\$\((\w+)\)", r"${\1}", found["command"]))
        at = found.end()
    return "".join([*pieces, re.sub(r"[^\r\n]", " ", text[at:])])
