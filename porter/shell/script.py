"""A shell script, parsed: its commands, what they launch, and the variables that it names."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from porter.shell.command import Command, Word
from porter.shell.launch import Launch, launch_of
from porter.shell.syntax import parse, text_of, walk
from porter.shell.values import Values
from porter.text_unit import Lines

if TYPE_CHECKING:
    from tree_sitter import Node


class ShellScript(Lines):
    """One script. Raises porter.source.CannotParse if it is no bash. `path` tells where scripts are looked for."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text)
        self.path = path
        self.root = parse(self.data)
        self.values = Values(self.root)

    @cached_property
    def commands(self) -> list[Command]:
        """Every simple command, in order, also those within functions, loops and `$(...)`."""
        nodes = (node for node in walk(self.root) if node.type == "command")
        return [Command(node, self.values, self.data) for node in nodes]

    @cached_property
    def launches(self) -> list[Launch]:
        return [launch for command in self.commands if (launch := launch_of(command))]

    @cached_property
    def trainings(self) -> list[Launch]:
        return [launch for launch in self.launches if launch.trains]

    def asks_for(self, offset: int) -> bool:
        """Whether the word that begins there is the name of a variable: `printenv NAME`."""
        return offset in self._starts_of_names

    @cached_property
    def _starts_of_names(self) -> frozenset[int]:
        return frozenset(node.start_byte for nodes in self.names.values() for node in nodes)

    def folder_at(self, offset: int) -> str:
        """Where the last `cd` before a place goes; empty where there is none."""
        before = [command.texts for command in self.commands if command.name == "cd" and command.start < offset]
        return before[-1][1] if before and len(before[-1]) == 2 else ""

    @cached_property
    def set_by_env(self) -> dict[str, list[tuple[Word, str]]]:
        """Variables that `env NAME=value command` sets: each word that does, and the value."""
        found: dict[str, list[tuple[Word, str]]] = {}
        for command in self.commands:
            for word in command.words if command.name == "env" else ():
                name, is_set, value = word.text.partition("=")
                if is_set and name in command.environment and command.spells(word, name):
                    found.setdefault(name, []).append((word, value))
        return found

    @cached_property
    def names(self) -> dict[str, list[Node]]:
        """Where each variable is set, read, exported or unset."""
        names: dict[str, list[Node]] = {}
        for node in walk(self.root):
            if node.type == "variable_name" or _asks_for_variable(node):
                names.setdefault(text_of(node), []).append(node)
        return names


def _asks_for_variable(node: Node) -> bool:
    """`[[ -v NAME ]]`, `printenv NAME`: a plain word that names a variable."""
    around = node.parent
    if node.type != "word" or around is None:
        return False
    if around.type == "unary_expression":
        operator = around.child_by_field_name("operator")
        return operator is not None and text_of(operator) == "-v"
    name = around.child_by_field_name("name") if around.type == "command" else None
    return name is not None and text_of(name) in ("printenv", "read")
