"""
# DP214 compile-backend: torch.compile without a word of its backend

## What it does

Reports `torch.compile` and `.compile()` of a module where no backend is named, or "inductor" (note).

## Why

Inductor writes kernels for triton, and each device needs its own build of it: on Ascend NPUs that is triton-ascend, on
Atlas A2 and A3. TorchAir has a backend of its own, which compiles whole graphs (documentation of torch_npu). Without
either the first call raises.

## Before

    model = torch.compile(model)

## What to write instead

    model = torch.compile(model, backend=torchair.get_npu_backend())
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import text_of

RULE = Rule("DP214", "compile-backend", __doc__, words=("compile",), fixes=False, targets=frozenset({"npu"}),
            beside=("torch",))  # fmt: skip

_MESSAGE = "inductor, the backend that is meant here, needs triton-ascend on an NPU"
_WAY_OUT = 'install triton-ascend, or name a backend: torchair.get_npu_backend(), "eager" to try'


@RULE.on(ast.Call)
def report_the_call(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if unit.dotted(node.func) != "torch.compile":
        return
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if None in given or _is_off(given.get("disable")):
        return
    backend = given.get("backend")
    if backend is None or text_of(backend) == "inductor":
        yield unit.report(RULE.code, "note", node, _MESSAGE, _WAY_OUT)


@RULE.on(ast.FunctionDef, ast.AsyncFunctionDef)
def report_the_decorator(node: ast.FunctionDef | ast.AsyncFunctionDef, unit: Unit) -> Iterator[Found]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Attribute) and unit.dotted(decorator) == "torch.compile":
            yield unit.report(RULE.code, "note", decorator, _MESSAGE, _WAY_OUT)


def _is_off(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True
