"""
# DP216 cuda-internals: parts of torch that are about CUDA, outside of torch.cuda

## What it does

Reports names below `torch` with "cuda" in them that lie outside of `torch.cuda`, `torch.backends` and `torch.version`:
`torch._C._cuda_getDeviceCount`, `torch._inductor.cudagraph_mark_step_begin`, `torch._inductor.config.triton.cudagraphs`
(note); and `DeviceType.CUDA`, the kind of a profiler's event. What is asked for first by `hasattr` is left alone.

## Why

They are bindings of a torch built for CUDA, or are about CUDA graphs: elsewhere they are missing or do nothing.

## Before

    torch._inductor.config.triton.cudagraphs = True

## What to write instead

    model = torch.compile(model, backend=torchair.get_npu_backend())
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.guards import is_asked_for
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import names_below

_ELSEWHERE = ("torch.cuda", "torch.backends.", "torch.version.", "torch.utils.cpp_extension.", "torch.profiler.")

RULE = Rule(
    "DP216",
    "cuda-internals",
    __doc__,
    words=("DeviceType", "_C", "_inductor", "_dynamo", "cudagraphs", "cudagraph_trees", "cudagraph_mark_step_begin"),
    fixes=False,
)


@RULE.on(ast.Attribute, ast.Import, ast.ImportFrom)
def report_the_internal(node: ast.AST, unit: Unit) -> Iterator[Found]:
    for place, name in names_below(("torch",), node, unit):
        if name.endswith(".DeviceType.CUDA"):
            message = f"no event of {unit.translation.new.title} has the type DeviceType.CUDA"
            yield unit.report(RULE.code, "note", place, message, "compare with != DeviceType.CPU")
            continue
        if "cuda" not in name or name.startswith(_ELSEWHERE):
            continue
        if unit.translation.known_part(name.removeprefix("torch.")) is not None:  # it is renamed
            continue
        if not is_asked_for(place, name.rpartition(".")[2], unit):
            message = f"{name} is about CUDA; {unit.translation.new.title} has no such thing"
            yield unit.report(RULE.code, "note", place, message, "leave it out there, or ask by hasattr first")
