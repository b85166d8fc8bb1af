"""
# DP301 float64: tensors in double precision

## What it does

Reports where a tensor is made in `torch.float64` (`torch.double`), or turned into one by `.to()`, `.type()` or
`.double()`. Tensors that the same call keeps on the CPU, comparisons with the dtype, and numpy are left alone.

## Why

Operators refuse it one by one: `repeat_interleave` on a table of rotary frequencies raised "DT_DOUBLE not in [...]"
(huggingface/diffusers#10428, huggingface/diffusers#10123). Others run on the host's CPU.

## Before

    freqs = torch.arange(0, 64, 2, dtype=torch.float64)

## What to write instead

    freqs = torch.arange(0, 64, 2, dtype=torch.float32)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.base import Rule
from porter.unit import Found, Unit
from porter.uses import comes_from_the_cpu, is_dtype_of_a_tensor, torch_names

_DTYPES = frozenset({"torch.float64", "torch.double"})

RULE = Rule("DP301", "float64", __doc__, words=("float64", "double"), fixes=False, targets=frozenset({"npu"}))


@RULE.on(ast.Attribute, ast.ImportFrom)
def report_the_dtype(node: ast.AST, unit: Unit) -> Iterator[Found]:
    for place, name in torch_names(node, unit):
        if name in _DTYPES and (isinstance(place, ast.alias) or is_dtype_of_a_tensor(place, unit.source)):
            yield _warning(place, unit)


@RULE.on(ast.Call)
def report_the_conversion(node: ast.Call, unit: Unit) -> Iterator[Found]:
    method = node.func
    if not isinstance(method, ast.Attribute) or method.attr != "double" or node.args or node.keywords:
        return
    if unit.source.names.imports_package("torch") and not comes_from_the_cpu(method):
        yield _warning(node, unit)


def _warning(node: ast.AST, unit: Unit) -> Found:
    message = f"{unit.translation.new.title} refuses float64 in some operators, and runs others on the host"
    return unit.report(
        RULE.code, "warning", node, message, "float32, or make the table on the CPU and send it in float32"
    )
