"""
# DP102 device-comparison: a device or backend that is compared with, is a parameter's default, or has its own entry

## What it does

In a file that does not name the target yet, renames the device (or `"nccl"`) in comparisons, in `in (...)`, in
`.startswith(...)`, in `match` patterns, in the defaults of parameters and in entries such as `{"cuda": "nccl"}`. In a
file that does - one with a branch for the target - it reports them and leaves them.

Any other key of a dictionary and an index `["cuda"]` are reported too, never renamed: what is stored under it may
come from elsewhere. A key of `map_location` is an error: checkpoints saved on the target have another tag. A comparison
with a slice (`device[:4] == "cuda"`), whose length would no longer be right, is reported too; and so is a search in
what does not say that it is a device (`"cuda" in example`), in a file with texts that hold the word:
`"train.py --cuda"`.

## Why

On the accelerator, `tensor.device.type` is the accelerator's name, so a branch for `"cuda"` would not be taken. But
where a branch for the target stands beside it, renaming would make the first one swallow the second.

## Before

    def load(path, device="cuda"):
        pinned = device == "cuda"

## After

    def load(path, device="npu"):
        pinned = device == "npu"
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from porter.doubt import doubt_about
from porter.literals import Literal, backend_literal, device_literal
from porter.places import Place, device_is_meant, label_of, place_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit
from porter.uses import is_docstring, text_of


def _words(translation: Translation) -> frozenset[str]:
    return frozenset({translation.old.name, translation.old.backend or translation.old.name})


RULE = Rule("DP102", "device-comparison", __doc__, words=_words)


@RULE.on(ast.Constant, ast.JoinedStr, ast.BinOp, ast.Call)
def rename_unless_the_target_is_known(node: ast.expr, unit: Unit) -> Iterator[Found]:
    literal = device_literal(node, unit.translation) or backend_literal(node, unit.translation)
    if literal is None:
        return
    place = place_of(node, unit.source)
    if place.kind == "key" and "location" in place.label and not _goes_to_the_host(node, unit):
        yield from _tag_of_a_checkpoint(node, literal, unit)
    elif place.kind == "key" or _is_index(node, unit):
        yield _looked_up(node, literal, unit)
    elif place.kind == "slice" and device_is_meant(place):
        yield _compared_with_a_slice(node, literal, unit)
    elif place.is_question and device_is_meant(place):
        if literal.new and unit.names_new_device:
            yield _left_to_a_person(node, literal, place, unit)
        elif _may_be_looked_for_in_text(node, place, unit):
            yield _searched_for(node, literal, place, unit)
        else:
            yield _renamed(node, literal, place, unit)


def _renamed(node: ast.expr, literal: Literal, place: Place, unit: Unit) -> Found:
    if not literal.new:
        return unit.report(RULE.code, "error", node, f'{unit.translation.new.title} has no pair for "{literal.old}"')
    message, doubt = f'"{literal.old}" becomes "{literal.new}"', doubt_about(node, place, unit)
    return unit.fix(RULE.code, node, message, literal.edit(unit.source), doubt=doubt)


def _left_to_a_person(node: ast.expr, literal: Literal, place: Place, unit: Unit) -> Found:
    what = {"default": "is a parameter's default", "entry": "has an entry"}.get(place.kind, "is compared with")
    return unit.report(
        RULE.code,
        "note",
        node,
        f'"{literal.old}" {what} in a file that already names {unit.translation.new.name}; it was left as it is',
        f'check that the branch for "{literal.new}" is taken where this one was',
    )


def _compared_with_a_slice(node: ast.expr, literal: Literal, unit: Unit) -> Found:
    return unit.report(
        RULE.code,
        "warning",
        node,
        f'"{literal.old}" is compared with a slice, which is as long as this name is; it was left as it is',
        f'compare with .startswith("{literal.new}")',
    )


def _may_be_looked_for_in_text(node: ast.expr, place: Place, unit: Unit) -> bool:
    """`"cuda" in x`, where nothing says that x is a device, and the file holds texts with the word in them."""
    match unit.source.parent.get(node):
        case ast.Compare(comparators=[ast.Tuple() | ast.List() | ast.Set()]):
            return False
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()]) if left is node:
            is_doubtful = not unit.translation.undoes and doubt_about(node, place, unit) != ""
            return is_doubtful and any(_is_text_with(unit.translation.old.name, one) for one in _strings(unit))
        case _:
            return False


@lru_cache(maxsize=1)
def _strings(unit: Unit) -> list[str]:
    """The strings of a unit that name the device, but for docstrings."""
    nodes = unit.source.walk(unit.source.lines_of({unit.translation.old.name.encode()}))
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_docstring(node, unit.source)
    ]


def _is_text_with(name: str, text: str) -> bool:
    """`train.py --cuda`, `tests/cuda/a.py`: where the word is a part of another, or an option."""
    return re.search(rf"(?<!\w)--?{name}\b|[/_-]{name}\b|\b{name}[_.-]", text) is not None


def _searched_for(node: ast.expr, literal: Literal, place: Place, unit: Unit) -> Found:
    return unit.report(
        RULE.code,
        "warning",
        node,
        f'"{literal.old}" is looked for in {place.label or "what"}, which may be no device; it was left as it is',
        f'if it is one, look for "{literal.new}"',
    )


def _looked_up(node: ast.expr, literal: Literal, unit: Unit) -> Found:
    return unit.report(
        RULE.code,
        "note",
        node,
        f'something is stored under "{literal.old}"; keys are left as they are',
        f'if a device\'s type is looked up here, store it under "{literal.new}" too',
    )


def _goes_to_the_host(key: ast.expr, unit: Unit) -> bool:
    """Whether what was saved from a device goes to the CPU, as it does from any other by itself or does no harm."""
    tags = unit.source.parent.get(key)
    pairs = zip(tags.keys, tags.values, strict=True) if isinstance(tags, ast.Dict) else ()
    return any(one is key and text_of(value) == "cpu" for one, value in pairs)


def _tag_of_a_checkpoint(node: ast.expr, literal: Literal, unit: Unit) -> Iterator[Found]:
    """What `map_location` looks up: the device that a checkpoint was saved from, on this accelerator or on CUDA."""
    tags = unit.source.parent.get(node)
    keys = [text_of(key) for key in tags.keys if key is not None] if isinstance(tags, ast.Dict) else []
    tag = text_of(node).replace(literal.old, literal.new, 1)
    if not any(key.startswith(literal.new) for key in keys):
        yield unit.report(
            RULE.code,
            "error",
            node,
            f'a checkpoint saved there has the tag "{tag}", which this map_location does not hold',
            f'add an entry for "{tag}", or give map_location the device itself',
        )


def _is_index(node: ast.expr, unit: Unit) -> bool:
    parent = unit.source.parent.get(node)
    if not isinstance(parent, ast.Subscript) or parent.slice is not node or not isinstance(node, ast.Constant):
        return False
    return label_of(parent.value) != "Literal"
