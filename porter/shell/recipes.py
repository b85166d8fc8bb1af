"""The recipes of a Makefile: the lines that are shell commands, and what make itself reads."""

from __future__ import annotations

import re

#: A line of a recipe, with those that it goes on in; what make itself reads before the command is no part of it.
RECIPE = re.compile(r"^\t[ \t]*(?P<marks>[@+-]*)(?P<command>(?:[^\n\\]|\\(?:\r?\n|.))*)", re.MULTILINE)


def without_recipes(text: str) -> str:
    """What is not a command: variables, rules, and what make reads before a command."""
    return RECIPE.sub(lambda found: found["marks"], text)


def in_bash(command: str) -> str:
    """`$(NAME)`, a variable of make, is written as bash writes one, which is as long."""
    return re.sub(r"\$\((\w+)\)", r"${\1}", command)


def as_shell(text: str) -> str:
    """The recipes, character for character, and nothing in the place of what is none."""
    pieces: list[str] = []
    at = 0
    for found in RECIPE.finditer(text):
        pieces.append(re.sub(r"[^\r\n]", " ", text[at : found.start("command")]))
        pieces.append(in_bash(found["command"]))
        at = found.end()
    return "".join([*pieces, re.sub(r"[^\r\n]", " ", text[at:])])
