"""
# DP301 float64: tensors in double precision

## What it does

Reports where a tensor is made in `torch.float64` (`torch.double`), and where it is cast to it with a device beside it,
`x.to(device, torch.float64)`, or before it goes to the device, `torch.ones(2).double()` (warning). It names the
operators of the file that refuse float64 on the hardware, or run on its AI CPU, by the vendor's operator definitions.

Casts without a device are reported as what they are there, casts to float32: `x.double()`, `module.double()`,
`x.to(torch.float64)`, `x.type(torch.float64)` (note).

Tensors that the same expression keeps on the CPU, comparisons with the dtype, numpy, and branches that the accelerator
does not take are left alone.

## Why

Operators refuse it one by one: `repeat_interleave` on a table of rotary frequencies raised "DT_DOUBLE not in [...]"
(huggingface/diffusers#10428, huggingface/diffusers#10123); matrix products refuse it too. Others, such as `sin` and
`cos`, take it, but run on the AI CPU, many times slower.

A cast of a tensor on the device that names no device makes float32, and torch_npu warns of it once: "Device do not
support double dtype now, dtype cast replace with float." (its own `_to_copy`). What follows runs, in single precision.

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
    call_around,
    comes_from_the_cpu,
    is_dtype_of_a_tensor,
    is_made_on_the_host,
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
            yield _cast(place, unit) if _is_a_cast_without_a_device(place, unit) else _warning(place, unit)


@RULE.on(ast.Call)
def report_the_conversion(node: ast.Call, unit: Unit) -> Iterator[Found]:
    method = node.func
    if not isinstance(method, ast.Attribute) or method.attr != "double" or node.args or node.keywords:
        return
    if not unit.source.names.imports_package("torch") or comes_from_the_cpu(method):
        return
    if not is_off_the_accelerator(node, unit):
        yield _warning(node, unit) if is_made_on_the_host(method.value, unit) else _cast(node, unit)


def _is_a_cast_without_a_device(dtype: ast.AST, unit: Unit) -> bool:
    """`x.to(torch.float64)`, `x.to(dtype=torch.float64)`, `x.type(torch.float64)`, of a tensor that may be anywhere."""
    call = call_around(dtype, unit.source)
    if call is None or not isinstance(call.func, ast.Attribute) or call.func.attr not in ("to", "type"):
        return False
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "dtype")]
    names_a_device = any(keyword.arg in ("device", None) for keyword in call.keywords)
    is_given = any(dtype is node for one in given for node in ast.walk(one))
    return is_given and not names_a_device and not is_made_on_the_host(call.func.value, unit)


def _warning(node: ast.AST, unit: Unit) -> Found:
    way_out = "float32, or make the table on the CPU and send it in float32"
    return unit.report(RULE.code, "warning", node, sentence("float64", unit), way_out)


def _cast(node: ast.AST, unit: Unit) -> Found:
    title = unit.translation.new.title
    message = f"{title} makes float32 of a tensor on the device here, with a warning: the cast names no device"
    return unit.report(RULE.code, "note", node, message, "float32, or .cpu() before it where float64 is needed")
