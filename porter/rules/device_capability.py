"""
# DP306 device-capability: questions about CUDA's compute capability

## What it does

Reports `torch.cuda.get_device_capability()`, and the fields of `get_device_properties()` that the target leaves empty
(`major`, `minor`, `multi_processor_count`, ...), where they are read off the call.

## Why

An Ascend NPU has no compute capability: the call answers None unless the variable `TORCH_NPU_DEVICE_CAPABILITY` is set
(documentation of torch_npu), so a guard such as `>= (8, 0)` raises `TypeError` (flagos-ai/FlagGems#1549). Of the
properties, `name`, `total_memory`, `L2_cache_size`, `cube_core_num` and `vector_core_num` are filled in.

## Before

    use_bf16 = torch.cuda.get_device_capability()[0] >= 8

## What to write instead

    use_bf16 = torch.npu.is_bf16_supported()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import cuda_name

_FILLED_IN = frozenset({"name", "total_memory", "L2_cache_size", "cube_core_num", "vector_core_num"})

RULE = Rule(
    "DP306",
    "device-capability",
    __doc__,
    words=("get_device_capability", "get_device_properties"),
    fixes=False,
    targets=frozenset({"npu"}),
)


@RULE.on(ast.Call)
def report_the_capability(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if cuda_name(unit.dotted(node.func) or "", unit) == "cuda.get_device_capability":
        message = f"{unit.translation.new.title} has no compute capability; the answer is None"
        way_out = "ask for what is needed: torch.npu.is_bf16_supported(), get_device_name()"
        yield unit.report(RULE.code, "warning", node, message, way_out)


@RULE.on(ast.Attribute)
def report_the_empty_property(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    call = node.value
    if not isinstance(call, ast.Call) or node.attr in _FILLED_IN:
        return
    if cuda_name(unit.dotted(call.func) or "", unit) == "cuda.get_device_properties":
        message = f"{unit.translation.new.title} leaves the property {node.attr} empty"
        yield unit.report(RULE.code, "warning", node, message, "do without it, or ask for cube_core_num")
