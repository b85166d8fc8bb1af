"""The recipes of a Makefile: the lines that are shell commands, and what make itself reads."""

from __future__ import annotations

import re

#: A line of a recipe, with those that it goes on in; what make itself reads before the command is no part of it.
_RECIPE = re.compile(r"^\t[ \t]*(?P<marks>[@+-]*)(?P<command>(?:[^\n\\]|\\(?:\r?\n|.))*)", re.MULTILINE)


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
