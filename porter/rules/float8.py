"""
# DP305 float8: eight-bit floating point

## What it does

Reports the float8 dtypes where a tensor is made in one or turned into it, on every hardware line before Ascend 950.
Comparisons with the dtype are left alone.

## Why

Their matrix units have no float8 (tile-ai/tilelang-ascend#1177), and torch_npu raises "Float8_e4m3fn has not been
supported" (xLLM-AI/xllm#1427). Weights may be kept in float8 in host memory and turned into bfloat16 on their way.

## Before

    vram_config = {"offload_dtype": torch.float8_e4m3fn, "computation_dtype": torch.bfloat16}

## What to write instead

    vram_config = {"offload_dtype": torch.bfloat16, "computation_dtype": torch.bfloat16}
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import is_dtype_of_a_tensor, torch_names

_DTYPES = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
_WITH_FLOAT8 = "ascend-950dt"

RULE = Rule("DP305", "float8", __doc__, words=_DTYPES, fixes=False, targets=frozenset({"npu"}))


@RULE.on(ast.Attribute, ast.ImportFrom)
def report_the_dtype(node: ast.AST, unit: Unit) -> Iterator[Found]:
    if unit.translation.hardware == _WITH_FLOAT8:
        return
    for place, name in torch_names(node, unit):
        if name.removeprefix("torch.") in _DTYPES and (
            isinstance(place, ast.alias) or is_dtype_of_a_tensor(place, unit.source)
        ):
            message = f"{name} is not supported on {unit.translation.hardware}"
            yield unit.report(RULE.code, "warning", place, message, "torch.bfloat16")
