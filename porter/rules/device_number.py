"""
# DP311 device-number: a device with a number, in a program that never sets its own

## What it does

Reports a device with a number other than 0, `"cuda:1"`, `f"cuda:{rank}"`, in a file that calls no `set_device`: once a
file, at the first one (note).

## Why

What a program does not give a device goes to the current one, which is number 0 in every process until `set_device`
says otherwise: streams, `torch.npu.synchronize()` and communication among them. Hand ports add
`torch.npu.set_device(rank)` before the first tensor.

## Before

    model.to(f"cuda:{rank}")

## What to write instead

    torch.npu.set_device(rank)
    model.to(f"npu:{rank}")
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.places import place_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import names_device, text_of

_NAMES = ("cuda", "npu")

RULE = Rule(
    "DP311",
    "device-number",
    __doc__,
    words=_NAMES,
    fixes=False,
    targets=frozenset({"npu"}),
    spelled={name: rf"{name}:(?<=[\"']{name}:)(?!0[\"'])[\d{{\"']" for name in _NAMES},
)


@RULE.on(ast.Call)
def report_the_first(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if RULE.code in unit.said_once or "set_device" in unit.source.text:
        return
    for argument in (*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "device")):
        if names_device(argument, unit) and _has_a_number(argument) and _is_moved_to(argument, node, unit):
            unit.said_once.add(RULE.code)
            message = "the program never says which device is its own: what it gives no device goes to number 0"
            way_out = f"torch.{unit.translation.names['cuda']}.set_device(...) before the first tensor"
            yield unit.report(RULE.code, "note", argument, message, way_out)
            return


def _has_a_number(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or text_of(node).partition(":")[2] not in ("", "0")


def _is_moved_to(argument: ast.expr, call: ast.Call, unit: Unit) -> bool:
    place = place_of(argument, unit.source)
    return place.callee in ("to", "device", "cuda", "npu") or place.label == "device"
