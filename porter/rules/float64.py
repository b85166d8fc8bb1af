"""
# DP301 float64: tensors in double precision

## What it does

Reports where a tensor is made in `torch.float64` (`torch.double`), or turned into one by `.to()`, `.type()` or
`.double()`. Tensors that the same expression keeps on the CPU, comparisons with the dtype, numpy, and branches that the
accelerator does not take are left alone. The report names the operators of the file that refuse it on the hardware, or
run on its AI CPU, by the vendor's operator definitions.

## Why

Operators refuse it one by one: `repeat_interleave` on a table of rotary frequencies raised "DT_DOUBLE not in [...]"
(huggingface/diffusers#10428, huggingface/diffusers#10123); matrix products refuse it too. Others, such as `sin` and
`cos`, take it, but run on the AI CPU, many times slower.

## Before

    freqs = torch.arange(0, 64, 2, dtype=torch.float64)

## What to write instead

    freqs = torch.arange(0, 64, 2, dtype=torch.float32)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.operator_types import sentence
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import (
    comes_from_the_cpu,
    is_dtype_of_a_tensor,
    is_off_the_accelerator,
    stays_on_the_host,
    torch_names,
)

_DTYPES = frozenset({"torch.float64", "torch.double"})

RULE = Rule("DP301", "float64", __doc__, words=("float64", "double"), fixes=False, targets=frozenset({"npu"}))


@RULE.on(ast.Attribute, ast.ImportFrom)
def report_the_dtype(node: ast.AST, unit: Unit) -> Iterator[Found]:
    for place, name in torch_names(node, unit):
        if name not in _DTYPES or is_off_the_accelerator(place, unit) or stays_on_the_host(place, unit.source):
            continue
        if isinstance(place, ast.alias) or is_dtype_of_a_tensor(place, unit.source):
            yield _warning(place, unit)


@RULE.on(ast.Call)
def report_the_conversion(node: ast.Call, unit: Unit) -> Iterator[Found]:
    method = node.func
    if not isinstance(method, ast.Attribute) or method.attr != "double" or node.args or node.keywords:
        return
    if not unit.source.names.imports_package("torch") or comes_from_the_cpu(method):
        return
    if not is_off_the_accelerator(node, unit):
        yield _warning(node, unit)


def _warning(node: ast.AST, unit: Unit) -> Found:
    way_out = "float32, or make the table on the CPU and send it in float32"
    return unit.report(RULE.code, "warning", node, sentence("float64", unit), way_out)
