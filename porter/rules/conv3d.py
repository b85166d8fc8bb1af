"""
# DP303 conv3d: three-dimensional convolution

## What it does

Reports `nn.Conv3d`, `F.conv3d` and classes derived from it. Annotations, `isinstance`, comparisons, lists of types, and
branches that the accelerator does not take are left alone, and so is a file that sets one of the two switches below.

## Why

CANN before 8.2 refuses it in bfloat16, "DT_BFLOAT16 of input x unsupported": patch embeddings and VAEs of video models
(Comfy-Org/ComfyUI#7784, Comfy-Org/ComfyUI#7499, hiyouga/LlamaFactory#6694). The newest takes it.

## Before

    self.patch_embedding = torch.nn.Conv3d(16, 1536, kernel_size=(1, 2, 2), stride=(1, 2, 2))

## What to write instead

Where kernel and stride are equal, a convolution is a reshape and a matrix product. Elsewhere two switches help some
models, which hand ports of video models set once, before the first tensor goes to the device:

    torch.npu.config.allow_internal_format = False
    torch.npu.set_compile_mode(jit_compile=False)

The first keeps tensors in torch's own layouts, and is what Atlas A3 does unasked; the second takes operators that are
compiled already, as Atlas A2 and A3 do unasked, and 310P does not (documentation of torch_npu).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import is_off_the_accelerator, is_only_a_type, torch_names

_CONVOLUTIONS = frozenset({"torch.nn.Conv3d", "torch.nn.LazyConv3d", "torch.nn.functional.conv3d", "torch.conv3d"})

RULE = Rule(
    "DP303",
    "conv3d",
    __doc__,
    words=("Conv3d", "LazyConv3d", "conv3d"),
    fixes=False,
    targets=frozenset({"npu"}),
)


@RULE.on(ast.Attribute, ast.ImportFrom)
def report_the_convolution(node: ast.AST, unit: Unit) -> Iterator[Found]:
    if _sets_a_switch(unit):
        return
    for place, name in torch_names(node, unit):
        if name in _CONVOLUTIONS and not is_only_a_type(place, unit.source) and not is_off_the_accelerator(place, unit):
            message = f"{unit.translation.new.title} with a CANN before 8.2 refuses {name} in bfloat16"
            way_out = (
                "float16, a reshape and a matmul where kernel and stride are equal, or "
                "torch.npu.config.allow_internal_format = False before the first tensor"
            )
            yield unit.report(RULE.code, "warning", place, message, way_out)


@lru_cache(maxsize=1)
def _sets_a_switch(unit: Unit) -> bool:
    for node in unit.source.walk(unit.source.lines_of({b"allow_internal_format", b"set_compile_mode"})):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr="allow_internal_format")], value=ast.Constant(value=False)):
                return True
            case ast.Call(
                func=ast.Attribute(attr="set_compile_mode"),
                keywords=[ast.keyword(arg="jit_compile", value=ast.Constant(value=False))],
            ):
                return True
    return False
