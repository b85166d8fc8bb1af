"""
# DP413 config-device: devices in configuration files

## What it does

In YAML, JSON and TOML, renames `cuda`, `cuda:1`, lists of them and `nccl` where the key says that a device or backend
is meant: `device: cuda`, `"vae_device": "cuda:0"`, `dist_backend = "nccl"`; also below such a key, unless a nearer one
says otherwise. A value with an anchor counts where its aliases stand as well; one that is a device here and text there
is reported. Comments and layout stay as they are. Other values, such as a `prompt` or a `name`, are left alone.

## Why

The program that reads the file compares and calls what it holds, and is ported with it: with one half ported it stops
at its own check.

## Before

    model:
      name: cuda
      device: cuda:0  # the first
    dist_backend: nccl

## After

    model:
      name: cuda
      device: npu:0  # the first
    dist_backend: hccl
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.configuration_file import Configuration, Value
from porter.findings import SUPPORTS_BOTH
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.text_unit import TextUnit, replaced
from porter.unit import Found


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(filter(None, (translation.old.name, translation.old.backend)))


RULE = Rule("DP413", "config-device", __doc__, words=_words, language="configuration")


@RULE.on(Value)
def rename_the_device(value: Value, unit: TextUnit[Configuration]) -> Iterator[Found]:
    old, new = unit.translation.old, unit.translation.new
    if not value.is_of_a_device:
        return
    if value.is_text_too:
        if old.name in value.text or value.text == old.backend:
            message = f"{value.text} is repeated by an alias, here as a device and there as text; it was left as it is"
            yield unit.report(RULE.code, "warning", value.span, message, "write it out where a device is meant")
        return
    device = re.compile(rf"{old.name}(?::\d+)?")
    if (old.name in value.text or value.text == old.backend) and _serves_both(value, unit):
        yield unit.report(SUPPORTS_BOTH, "note", value.span, f"supports {new.name} already: 1 place")
    elif all(device.fullmatch(part.strip()) or part.strip() == "cpu" for part in value.text.split(",")):
        yield from _renamed(value, old.name, new.name, unit)
    elif value.text == old.backend and new.backend:
        yield from _renamed(value, old.backend, new.backend, unit)
    elif value.text == old.backend:
        way_out = 'run in one process, or use "gloo" on CPU copies'
        yield unit.report(RULE.code, "error", value.span, f"{new.title} has no communication backend", way_out)


def _serves_both(value: Value, unit: TextUnit[Configuration]) -> bool:
    """Whether the new accelerator is named beside it: in its text, its list, or as the key beside its own."""
    old, new = unit.translation.old, unit.translation.new
    named = re.compile(rf"(?<![\w-])(?:{new.name}(?::\d+)?|{new.backend or new.name})(?![\w-])")
    if named.search(value.text):
        return True
    around, key = value.path[:-1], value.path[-1:]
    is_keyed = key == (old.name,)
    return any(
        (other.path == value.path and named.fullmatch(other.text) is not None)
        or (is_keyed and other.path == (*around, new.name))
        for other in unit.source.values
    )


def _renamed(value: Value, old: str, new: str, unit: TextUnit[Configuration]) -> Iterator[Found]:
    """One finding a value, which may name the device several times."""
    start, end = value.span
    places = [start + match.start() for match in re.finditer(re.escape(old.encode()), unit.source.data[start:end])]
    if not places and old not in value.text:  # the CPU
        return
    if not places:
        message = f"{old} is written by escapes; it was left as it is"
        yield unit.report(RULE.code, "warning", value.span, message, f'write "{new}"')
        return
    numbers = [int(number) for number in re.findall(r":(\d+)", value.text)]
    if not unit.translation.new.indexed and max(numbers, default=0):
        message = f"{unit.translation.new.title} has one device; there is no number {max(numbers)}"
        yield unit.report(RULE.code, "error", value.span, message, f'use "{new}"')
        return
    edits = [replaced((at, at + len(old.encode())), new) for at in places]
    yield unit.fix(RULE.code, value.span, f"{old} becomes {new}", *edits)
