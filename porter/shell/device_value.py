"""The values in a script that name a device or a communication backend, where the words around say so.

--device cuda   --device=cuda:0   DEVICE="cuda"   --backend nccl   device=cuda (of Hydra)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from porter.shell.command import PRINTING, Command, Word
from porter.shell.script import ShellScript
from porter.shell.values import value_of
from porter.targets import Accelerator
from porter.text_unit import Span
from porter.vocabulary import is_another_backend, says_device, says_text

_ASSIGNS = re.compile(r"-{0,2}([A-Za-z][\w.-]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class DeviceValue:
    """The bytes of `old` in a value that begins with it. `is_backend` tells "nccl" from "cuda"."""

    span: Span
    old: str
    is_backend: bool


def device_values(script: ShellScript, accelerator: Accelerator) -> Iterator[DeviceValue]:
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


def _named(script: ShellScript, label: str, value: str, span: Span, accelerator: Accelerator) -> Iterator[DeviceValue]:
    if not says_device(label) or says_text(label) or is_another_backend(label):
        return
    device = re.fullmatch(rf"({accelerator.name})(?::\d+)?", value)
    old = device[1] if device else accelerator.backend if value == accelerator.backend else None
    if old is None:
        return
    at = script.data.rfind(old.encode(), *span)
    if at >= 0 and script.piece(*span).rstrip("'\"").endswith(value):  # not what a variable comes to
        yield DeviceValue((at, at + len(old.encode())), old, not device)
