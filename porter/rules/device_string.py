"""
# DP101 device-string: a device named by a string

## What it does

Renames `"cuda"` and `"cuda:1"` wherever a device is meant: as keyword or positional argument, value of a
dictionary, assignment, choice or default of a command-line option, in a conditional expression, an f-string or a
string put together with `+`, `%` or `.format()`.

It leaves text for people, file names, look-up keys, and lists that hold other things than devices; and it leaves and
reports `"cuda"` in a list that holds the target already (`choices=["cpu", "cuda", "npu"]`).

## Why

A torch built for another accelerator has no device of the name `cuda`; the call that gets the string raises.

## Before

    pipe = WanVideoPipeline.from_pretrained(torch_dtype=torch.bfloat16, device="cuda")
    device = f"cuda:{rank}"

## After

    pipe = WanVideoPipeline.from_pretrained(torch_dtype=torch.bfloat16, device="npu")
    device = f"npu:{rank}"
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.doubt import doubt_about
from porter.engines import engine_of
from porter.literals import device_literal
from porter.places import device_is_meant, place_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit

RULE = Rule("DP101", "device-string", __doc__, words=lambda translation: frozenset({translation.old.name}))


@RULE.on(ast.Constant, ast.JoinedStr, ast.BinOp, ast.Call)
def rename_the_device(node: ast.expr, unit: Unit) -> Iterator[Found]:
    literal = device_literal(node, unit.translation)
    if literal is None:
        return
    place = place_of(node, unit.source)
    if place.is_question or not device_is_meant(place) or engine_of(node, unit):
        return
    if _stands_beside_the_target(node, unit):
        yield unit.report(
            RULE.code,
            "note",
            node,
            f'"{literal.new}" stands beside "{literal.old}" in this list; it was left as it is',
            f'put "{literal.new}" first if the first one is taken',
        )
    elif not unit.translation.new.indexed and (index := literal.number or _index_beside(node, unit)):
        yield unit.report(
            RULE.code,
            "error",
            node,
            f"{unit.translation.new.title} has one device; there is no number {index}",
            f'use "{unit.translation.new.name}"',
        )
    else:
        message = f'"{literal.old}" becomes "{literal.new}"'
        doubt = doubt_about(node, place, unit)
        yield unit.fix(RULE.code, node, message, literal.edit(unit.source), doubt=doubt)


def _stands_beside_the_target(node: ast.expr, unit: Unit) -> bool:
    """`choices=["cpu", "cuda", "npu"]` serves both devices as it is."""
    around = unit.source.parent.get(node)
    if not isinstance(around, ast.Tuple | ast.List | ast.Set) or not unit.names_new_device:
        return False
    return any(isinstance(one, ast.Constant) and one.value == unit.translation.new.name for one in around.elts)


def _index_beside(node: ast.expr, unit: Unit) -> int:
    """The number in `torch.device("cuda", 1)`; 0 where there is none, or it is not written out."""
    call = unit.source.parent.get(node)
    call = unit.source.parent.get(call) if isinstance(call, ast.keyword) else call
    if not isinstance(call, ast.Call) or unit.dotted(call.func) != "torch.device":
        return 0
    given = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "index")]
    numbers = [one.value for one in given if isinstance(one, ast.Constant) and type(one.value) is int]
    return numbers[0] if numbers else 0
