"""A Makefile: its recipes as shell, of which every other line is blanked out."""

from __future__ import annotations

import re
from dataclasses import replace

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.commenting import MAKEFILE
from porter.documents.completed import completed
from porter.documents.document import PortedBytes, byte_order_mark, decode, written
from porter.documents.shell import ported_shell
from porter.port import Plan

#: A line of a recipe, with those that it goes on in; what make itself reads before the command is no part of it.
_RECIPE = re.compile(r"^\t[ \t]*(?P<marks>[@+-]*)(?P<command>(?:[^\n\\]|\\(?:\r?\n|.))*)", re.MULTILINE)


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    text = decode(data, byte_order_mark(data))
    shell = ported_shell(as_shell(text), plan, name, replace(MAKEFILE, original=text))
    return written(data, text, completed(text, shell, plan, MAKEFILE, reasons))


def without_recipes(text: str) -> str:
    """What is not a command: variables, rules, and what make reads before a command."""
    return _RECIPE.sub(lambda found: found["marks"], text)


def as_shell(text: str) -> str:
    """The recipes, character for character: `$(NAME)`, a variable of make, is written as bash writes one."""
    pieces: list[str] = []
    at = 0
    for found in _RECIPE.finditer(text):
        pieces.append(re.sub(r"[^\r\n]", " ", text[at : found.start("command")]))
        pieces.append(re.sub(r"\$\((\w+)\)", r"${\1}", found["command"]))
        at = found.end()
    return "".join([*pieces, re.sub(r"[^\r\n]", " ", text[at:])])
