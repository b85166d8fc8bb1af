"""
# DP310 int64-operator: an operator that runs on the AI CPU for int64

## What it does

Reports `cumsum`, `sort`, `argsort`, `pow` and other operators that the hardware runs on its AI CPU for int64, where the
same expression makes the tensor one of int64: `x.long().cumsum(0)`, `torch.cumsum(x, 0, dtype=torch.int64)` (note).

## Why

By the vendor's operator definitions the matrix and vector units do not take the type there; the AI CPU does, many times
slower. Hand ports of public programs turn these into int32.

## Before

    positions = mask.long().cumsum(-1)

## What to write instead

    positions = mask.int().cumsum(-1)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.operator_types import runs_on_the_ai_cpu
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_OPERATORS = ("cumsum", "argsort", "sort", "floor_divide", "scatter_add")

RULE = Rule("DP310", "int64-operator", __doc__, words=_OPERATORS, fixes=False, targets=frozenset({"npu"}))


@RULE.on(ast.Call)
def report_the_operator(node: ast.Call, unit: Unit) -> Iterator[Found]:
    method = node.func
    if not isinstance(method, ast.Attribute) or method.attr not in _OPERATORS:
        return
    of_torch = unit.dotted(method) == f"torch.{method.attr}"
    tensor = node.args[0] if of_torch and node.args else method.value
    asked = any(keyword.arg == "dtype" and _is_int64(keyword.value, unit) for keyword in node.keywords)
    if not asked and not _makes_int64(tensor, unit):
        return
    if runs_on_the_ai_cpu(method.attr, "int64", unit.translation.hardware or ""):
        title, hardware = unit.translation.new.title, unit.translation.hardware
        message = f"{title} ({hardware}) runs {method.attr} on int64 on its AI CPU, many times slower"
        yield unit.report(RULE.code, "note", node, message, "int32, where the numbers fit")


def _makes_int64(tensor: ast.expr, unit: Unit) -> bool:
    """`x.long()`, `x.to(torch.int64)`, `x.type(torch.long)`."""
    match tensor:
        case ast.Call(func=ast.Attribute(attr="long" | "int64"), args=[]):
            return True
        case ast.Call(func=ast.Attribute(attr="to" | "type"), args=arguments):
            return any(_is_int64(argument, unit) for argument in arguments)
        case _:
            return False


def _is_int64(node: ast.expr, unit: Unit) -> bool:
    return unit.dotted(node) in ("torch.int64", "torch.long")
