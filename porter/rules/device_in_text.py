"""
# DP115 device-in-text: a device within a longer string

## What it does

Renames the device in an option that is one string, `"--device=cuda"`. Reports (warning) the device in the text of a
command, `"python train.py --device cuda"`, and in JSON that a string holds, `'{"device": "cuda"}'`: they are left as
they are. Text for people is left alone.

## Why

The program at the other end takes the device from the text, and asks torch for CUDA.

## Before

    subprocess.run(["python", "train.py", "--device=cuda"], check=True)

## After

    subprocess.run(["python", "train.py", "--device=npu"], check=True)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from porter.findings import Edit
from porter.places import place_of
from porter.rules.rule import Rule
from porter.targets import TARGETS_AND_CUDA, Translation
from porter.unit import Found, Unit
from porter.uses import is_docstring
from porter.vocabulary import PRINTING, is_another_backend, says_device, says_text


def _words(translation: Translation) -> frozenset[str]:
    return frozenset({translation.old.name})


#: The value of an option, or of JSON within a string.
_SPELLED = r"""{0}\b(?:(?<=[= ]{0})|(?<=='{0})|(?<=:[ ]"{0})|(?<=:"{0})|(?<=\\"{0}))"""

RULE = Rule(
    "DP115",
    "device-in-text",
    __doc__,
    words=_words,
    spelled={name: _SPELLED.format(name) for name in TARGETS_AND_CUDA},
)


@cache
def _option(name: str) -> re.Pattern[str]:
    return re.compile(rf"(-{{1,2}}[A-Za-z][\w-]*)=({name})(?::\d+)?")


@cache
def _within(name: str) -> re.Pattern[str]:
    """An option of a command with the device as its value, or an entry of JSON."""
    return re.compile(
        rf"""(?:(?:^|\s)-{{1,2}}(?P<option>[A-Za-z][\w-]*)(?:=|[ ]+)["']?{name}(?::\d+)?(?=["'\s]|\Z)
           | "(?P<key>\w+)"\s*:\s*"{name}(?::\d+)?")""",
        re.VERBOSE,
    )


@RULE.on(ast.Constant)
def rename_the_device_of_an_option(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    old, new = unit.translation.old.name, unit.translation.new.name
    if not isinstance(node.value, str) or not (found := _option(old).fullmatch(node.value)):
        return
    if _is_about_a_device(found[1]) and not _is_for_people(node, unit):
        edit = Edit(*unit.source.span(node), "replace_start", (f"{found[1]}={old}", f"{found[1]}={new}"))
        yield unit.fix(RULE.code, node, f"{found[1]}={old} becomes {found[1]}={new}", edit)


@RULE.on(ast.Constant)
def report_the_device_of_a_command(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    old, translation = unit.translation.old.name, unit.translation
    if translation.undoes or not isinstance(node.value, str) or _option(old).fullmatch(node.value):
        return
    for found in _within(old).finditer(node.value):
        label = found["option"] or found["key"]
        if _is_about_a_device(label) and not _is_for_people(node, unit):
            what = "this command line" if found["option"] else "this JSON"
            message = f'{what} names the device "{old}"; it was left as it is'
            yield unit.report(RULE.code, "warning", node, message, f'"{translation.new.name}" in its place')
            return


def _is_about_a_device(label: str) -> bool:
    return says_device(label) and not says_text(label) and not is_another_backend(label)


def _is_for_people(node: ast.Constant, unit: Unit) -> bool:
    around = unit.source.parent.get(node)
    whole = around if isinstance(around, ast.JoinedStr) else node
    if is_docstring(whole, unit.source):
        return True
    place = place_of(whole, unit.source)
    return (
        place.callee in PRINTING or place.callee.endswith("Error") or place.label in ("help", "description", "epilog")
    )
