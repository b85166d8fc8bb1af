"""
# DP404 shell-variable: variables that steer CUDA, in shell scripts

## What it does

Renames the variables that have a documented pair (`CUDA_VISIBLE_DEVICES`, `PYTORCH_CUDA_ALLOC_CONF`,
`TORCH_NCCL_BLOCKING_WAIT`, ...) wherever a script sets, reads, exports or unsets them, and the keys of the allocator
that are called otherwise there. A variable whose value the target refuses stays as it is all over the script, and is
reported (error): visible devices that are not numbers, keys that the allocator does not know. So does one whose pair
the script sets as well (note). Variables of CUDA and NCCL without a pair are reported (note), and those that are handed
on to another program, `docker run -e CUDA_VISIBLE_DEVICES=0` (warning). With `--torch-npu`, keys of the allocator
(error) and variables (warning) that this build of torch_npu does not know, and others do, are reported.

## Why

The accelerator's runtime reads its own variables; those of CUDA have no effect. `ASCEND_RT_VISIBLE_DEVICES` takes
digits and commas only, and torch_npu raises on an allocator key that it does not know.

## Before

    CUDA_VISIBLE_DEVICES=0,1 python generate.py

## After

    ASCEND_RT_VISIBLE_DEVICES=0,1 python generate.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.environment import (
    ALLOCATOR,
    DEVICES,
    OF_CUDA,
    lacks_a_pair,
    refused_by_the_build,
    refused_devices,
    unknown_allocator_keys,
    unread_by_the_build,
    visible_devices,
    without_effect,
)
from porter.rules.rule import Rule
from porter.shell.command import PRINTING, Command
from porter.shell.script import ShellScript
from porter.shell.values import UNKNOWN, value_of
from porter.targets import Translation
from porter.text_unit import Span, TextUnit, replaced
from porter.unit import Found

if TYPE_CHECKING:
    from tree_sitter import Node

_GENERAL_ALLOCATOR = "PYTORCH_ALLOC_CONF"
_KEY_OF_A_DEVICE = re.compile(r"\b\w+malloc\w*(?=\s*:)")

#: Vendor's variables about the same matter, whose values mean something else or that another program reads.
_NEAREST = {
    "NCCL_ALGO": "HCCL_ALGO",
    "NCCL_BUFFSIZE": "HCCL_BUFFSIZE, in MB",
    "NCCL_IB_RETRY_CNT": "HCCL_RDMA_RETRY_CNT",
    "NCCL_IB_SL": "HCCL_RDMA_SL",
    "NCCL_IB_TC": "HCCL_RDMA_TC",
    "NCCL_IB_TIMEOUT": "HCCL_RDMA_TIMEOUT",
    "NCCL_SOCKET_FAMILY": "HCCL_SOCKET_FAMILY",
    "NCCL_SOCKET_IFNAME": "HCCL_SOCKET_IFNAME",
    "NVIDIA_VISIBLE_DEVICES": "ASCEND_VISIBLE_DEVICES, read by Ascend Docker Runtime",
}


def _words(translation: Translation) -> frozenset[str]:
    lacking = (name for name in OF_CUDA if lacks_a_pair(name, translation))
    return frozenset({*translation.environment, *lacking, *_judged_by_the_build(translation)})


def _judged_by_the_build(translation: Translation) -> list[str]:
    """The variables of which a build of torch_npu may not know all that others do."""
    if translation.torch_npu is None:
        return []
    return sorted({ALLOCATOR, translation.environment[ALLOCATOR], *unread_by_the_build(translation)})


RULE = Rule("DP404", "shell-variable", __doc__, words=_words, language="shell")


@RULE.on(ShellScript)
def rename_the_variables(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """Each all over the script, or nowhere."""
    for old, new in unit.translation.environment.items():
        names = _Names(old, script)
        if not names.places:
            continue
        if names.set_for_all and _Names(new, script).set_for_all:
            yield from _both_are_set(names, new, unit)
            continue
        refusals = [] if unit.translation.undoes else list(_refusals(names, new, unit))
        yield from refusals or _renamed(names, new, unit)


@RULE.on(Command)
def report_the_argument(command: Command, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """`docker run -e CUDA_VISIBLE_DEVICES=0`, `srun --export=ALL,CUDA_VISIBLE_DEVICES=0`."""
    if unit.translation.undoes or command.name in PRINTING:
        return
    renamed_here = command.environment if command.name == "env" else frozenset()
    for word in command.words[1:]:
        named = re.match(r"(?:-[-\w]*=?)?(?:\w+,)*(\w+)(?:=\S*|,\S*)?\Z", word.text)
        new = unit.translation.environment.get(named[1]) if named else None
        if named and new and named[1] not in renamed_here and not unit.source.asks_for(word.start):
            message = f"{named[1]} is handed on to another program"
            yield unit.report(RULE.code, "warning", (word.start, word.end), message, f"hand on {new} as well")


@RULE.on(ShellScript)
def report_what_has_no_pair(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    for name in sorted(OF_CUDA):
        if lacks_a_pair(name, unit.translation):
            message, way_out = without_effect(name, unit.translation)
            if name in _NEAREST and unit.translation.new.name == "npu":
                way_out = f"the nearest is {_NEAREST[name]}"
            for span, _ in _Names(name, script).values:
                yield unit.report(RULE.code, "note", (span[0], span[0] + len(name)), message, way_out)


@RULE.on(ShellScript)
def report_what_the_build_does_not_know(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    unread = unread_by_the_build(unit.translation)
    for name in _judged_by_the_build(unit.translation):
        for span, value in _Names(name, script).values:
            if name in unread:
                yield unit.report(RULE.code, "warning", span, *unread[name])
            if name in (ALLOCATOR, unit.translation.environment[ALLOCATOR]):
                for message, way_out in refused_by_the_build(value, unit.translation):
                    yield unit.report(RULE.code, "error", span, message, way_out)


class _Names:
    """Where a script names a variable. `values` are those it is given, each with the place of the whole assignment."""

    def __init__(self, name: str, script: ShellScript) -> None:
        self.name = name
        nodes = script.names.get(name, [])
        assignments = [node.parent for node in nodes if node.parent and node.parent.type == "variable_assignment"]
        by_env = [((word.start, word.end), value) for word, value in script.set_by_env.get(name, ())]
        self.places = sorted([*map(_span, nodes), *((start, start + len(name)) for (start, _), _ in by_env)])
        self.values = sorted([*((_span(node), _text(node, script)) for node in assignments), *by_env])
        self.set_for_all = any(node.parent is None or node.parent.type != "command" for node in assignments)


def _span(node: Node) -> Span:
    return node.start_byte, node.end_byte


def _text(assignment: Node, script: ShellScript) -> str:
    value = value_of(assignment)
    return script.values.text(value) if value else ""


def _both_are_set(names: _Names, new: str, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    for span, _ in () if unit.translation.undoes else names.values:
        message = f"{names.name} stays as it is: the script sets {new} itself"
        yield unit.report(RULE.code, "note", span, message, "take out the one that is not meant")


def _refusals(names: _Names, new: str, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """Values that the new accelerator raises on."""
    translation = unit.translation
    for span, value in names.values:
        if names.name == DEVICES and not _takes(value, span, unit):
            yield unit.report(RULE.code, "error", span, *refused_devices(value.replace(UNKNOWN, "..."), translation))
        for key, namesake in unknown_allocator_keys(value, translation) if names.name == ALLOCATOR else ():
            if not namesake:
                message = f"the allocator of {translation.new.title} raises on the unknown key {key!r}"
                yield unit.report(RULE.code, "error", span, message, "take the key out of the value")
    if names.name == ALLOCATOR and translation.allocator_keys:
        for span, _ in _Names(_GENERAL_ALLOCATOR, unit.source).values:
            message = f"the allocator of {translation.new.title} raises where both {new} and this are set"
            yield unit.report(RULE.code, "error", span, message, "keep one of the two")


def _renamed(names: _Names, new: str, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """The variable, and the keys in its values that have the device in their name."""
    for span in names.places:
        message = f"{names.name} becomes {new}"
        yield unit.fix(RULE.code, span, message, replaced(span, new))
    yield from _rewritten_devices(names, unit)
    if ALLOCATOR not in (names.name, new):
        return
    for (start, end), value in names.values:
        for key, new_key in _keys(value, unit.translation):
            at = unit.source.data.find(key.encode(), start, end)
            span = (at, at + len(key.encode()))
            if at >= 0:
                yield unit.fix(RULE.code, span, f"{key} becomes {new_key}", replaced(span, new_key))


def _takes(value: str, span: Span, unit: TextUnit[ShellScript]) -> bool:
    """Whether the new accelerator takes the visible devices, as they are or as the script can write them."""
    known = value.replace(UNKNOWN, "")
    new = visible_devices(known, unit.translation)
    return new is not None and (new == known or _written_out(value, span, unit) is not None)


def _written_out(value: str, span: Span, unit: TextUnit[ShellScript]) -> Span | None:
    """Where a value stands, in quotes or not, if it is written in one piece."""
    start, end = span[0] + len(DEVICES) + 1, span[1]
    return (start, end) if unit.source.piece(start, end).strip("'\"") == value else None


def _rewritten_devices(names: _Names, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """`CUDA_VISIBLE_DEVICES=-1` hides every device, which the new accelerator does by an empty value."""
    for span, value in names.values if names.name == DEVICES else ():
        new, place = visible_devices(value, unit.translation), _written_out(value, span, unit)
        if place is not None and new is not None and new != value:
            yield unit.fix(RULE.code, place, f"{value} becomes {new or 'an empty value'}", replaced(place, new))


def _keys(value: str, translation: Translation) -> list[tuple[str, str]]:
    if not translation.undoes:
        return list(unknown_allocator_keys(value, translation))
    keys = [(key, key.replace(translation.old.name, translation.new.name)) for key in _KEY_OF_A_DEVICE.findall(value)]
    return [(key, new) for key, new in keys if key != new]
