"""
# DP405 shell-device: devices and backends among the options of a command

## What it does

Renames `cuda` (`cuda:1`) and `nccl` where an option or a variable that says so is given them: `--device cuda`,
`--device=cuda:0`, `DEVICE=cuda`, `--backend nccl`. For a target without a communication backend, `nccl` is an error.

## Why

The script gets the device as text, so what it asks torch for is CUDA, which is not there.

## Before

    python generate.py --device cuda:0 --prompt cuda

## After

    python generate.py --device npu:0 --prompt cuda
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from porter.rules.rule import Rule
from porter.shell.command import PRINTING, Command, Word
from porter.shell.script import ShellScript
from porter.shell.values import value_of
from porter.targets import Accelerator, Translation
from porter.text_unit import Span, TextUnit, replaced
from porter.unit import Found
from porter.vocabulary import is_another_backend, says_device, says_text

_ASSIGNS = re.compile(r"-{0,2}([A-Za-z][\w.-]*)=(.*)", re.DOTALL)


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(filter(None, (translation.old.name, translation.old.backend)))


RULE = Rule("DP405", "shell-device", __doc__, words=_words, language="shell")


@RULE.on(ShellScript)
def rename_the_device(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    new = unit.translation.new
    for value in _device_values(script, unit.translation.old):
        name = new.backend if value.is_backend else new.name
        if name:
            message, edit = f"{value.old} becomes {name}", replaced(value.span, name)
            yield unit.fix(RULE.code, value.span, message, edit)
        else:
            way_out = 'run in one process, or use "gloo" on CPU copies'
            yield unit.report(RULE.code, "error", value.span, f"{new.title} has no communication backend", way_out)


@dataclass(frozen=True)
class _DeviceValue:
    """The bytes of `old` in a value that begins with it. `is_backend` tells "nccl" from "cuda"."""

    span: Span
    old: str
    is_backend: bool


def _device_values(script: ShellScript, accelerator: Accelerator) -> Iterator[_DeviceValue]:
    """Those that name this accelerator, or its backend, spelled out in one piece."""
    for command in script.commands:
        if command.name not in PRINTING:
            for label, word, at in _labelled(command):
                yield from _named(script, label, word.text[at:], (word.start, word.end), accelerator)
    for name, nodes in script.values.assignments.items():
        for node in nodes:
            if value := value_of(node):
                span = (value.start_byte, value.end_byte)
                yield from _named(script, name, script.values.text(value), span, accelerator)


def _labelled(command: Command) -> Iterator[tuple[str, Word, int]]:
    """Each value of a command with the option it belongs to, and where in its word it begins."""
    before = ""
    for word in command.words[1:]:
        if not word.is_written_out:
            before = ""
        elif assigned := _ASSIGNS.fullmatch(word.text):
            yield assigned[1], word, assigned.start(2)
            before = ""
        elif word.text.startswith("-"):
            before = word.text.lstrip("-")
        else:
            yield before, word, 0


def _named(script: ShellScript, label: str, value: str, span: Span, accelerator: Accelerator) -> Iterator[_DeviceValue]:
    if not says_device(label) or says_text(label) or is_another_backend(label):
        return
    device = re.fullmatch(rf"({accelerator.name})(?::\d+)?", value)
    old = device[1] if device else accelerator.backend if value == accelerator.backend else None
    if old is None:
        return
    at = script.data.rfind(old.encode(), *span)
    if at >= 0 and script.piece(*span).rstrip("'\"").endswith(value):  # not what a variable comes to
        yield _DeviceValue((at, at + len(old.encode())), old, not device)
