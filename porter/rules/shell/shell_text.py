"""
# DP408 shell-in-text: commands and programs that a script keeps as text

## What it does

Reports text that another program reads and that names CUDA or launches a training: `bash -c "..."`, `eval "..."`, a
command line handed to `ssh` or kept in a variable, the lines of a here-document. It is left as it is.

## Why

What the text becomes is known when it is run: by which shell or interpreter, with which quotes and variables put in.

## Before

    bash -c "CUDA_VISIBLE_DEVICES=0 python generate.py"

## What to write instead

    ASCEND_RT_VISIBLE_DEVICES=0 python generate.py
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from porter.environment import OF_CUDA
from porter.rules.rule import Rule
from porter.shell.command import Command
from porter.shell.script import ShellScript
from porter.shell.syntax import text_of, walk
from porter.shell.values import value_of
from porter.targets import Translation
from porter.text_unit import TextUnit
from porter.unit import Found

if TYPE_CHECKING:
    from tree_sitter import Node

#: Commands that run what they are given as text, and those that do behind `-c`.
_RUN_TEXT = frozenset("eval ssh su tmux screen parallel".split())
_RUN_TEXT_BEHIND_C = frozenset("bash sh dash zsh python python3".split())

_PUT_IN = ("simple_expansion", "expansion", "command_substitution")
_LAUNCHES = re.compile(r"\b(accelerate launch|torchrun|deepspeed)\b")
_BEGINS_LAUNCH = re.compile(r"\s*(?:\w+=\S*\s+)*(?:accelerate launch|torchrun|deepspeed|python3? +\S+\.py)\b")


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(
        {*translation.environment, *OF_CUDA, *filter(None, (translation.old.name, translation.old.backend))}
        | {"accelerate", "torchrun", "deepspeed", "smi"}
    )


RULE = Rule("DP408", "shell-in-text", __doc__, words=_words, fixes=False, language="shell")


@RULE.on(Command)
def report_the_text(command: Command, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    names = list(map(os.path.basename, command.texts))
    by_c = not _RUN_TEXT_BEHIND_C.isdisjoint(names)
    for before, node in pairwise(command.node.named_children):
        is_run = names[0] in _RUN_TEXT or (by_c and re.fullmatch(r"-\w*c", text_of(before)))
        if is_run and node.type in ("string", "raw_string"):
            yield from _reported(node, unit)


@RULE.on(ShellScript)
def report_here_documents(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    for node in walk(script.root):
        if node.type == "heredoc_body":
            yield from _reported(node, unit)


@RULE.on(ShellScript)
def report_kept_commands(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """`CMD="accelerate launch train.py"`."""
    for nodes in script.values.assignments.values():
        for node in nodes:
            value = value_of(node)
            if value is not None and _BEGINS_LAUNCH.match(script.values.text(value)):
                yield from _reported(value, unit)


def _reported(node: Node, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    named = sorted(_names_in(_own_text(node), unit.translation))
    if named:
        message = f"this text names {', '.join(named)}; it was left as it is"
        way_out = "write it as commands of the script, or port it by hand"
        yield unit.report(RULE.code, "warning", (node.start_byte, node.end_byte), message, way_out)


def _own_text(node: Node) -> str:
    """The text less what the script itself puts in: `$NAME`, `$(command)`."""
    data, at, pieces = node.text or b"", 0, []
    for child in node.named_children:
        if child.type in _PUT_IN:
            pieces.append(data[at : child.start_byte - node.start_byte])
            at = child.end_byte - node.start_byte
    return b" ".join([*pieces, data[at:]]).decode("utf-8")


def _names_in(text: str, translation: Translation) -> set[str]:
    """The words in a text for which a port has something to say."""
    words = set(re.findall(r"\w+", text))
    variables = words & {*translation.environment, *OF_CUDA}
    devices = words & set(filter(None, (translation.old.name, translation.old.backend)))
    tools = {"nvidia-smi"} if "nvidia-smi" in text else set()
    return variables | devices | tools | set(_LAUNCHES.findall(text))
