"""
# DP601 data-dependent-shape: a result whose shape depends on the values

## What it does

With `--dynamic-shapes`, reports what gives a tensor of a shape that only its values tell, where a program comes by at
every step (a module's `forward` and what it calls, loops that train, denoise or go through batches): an index of
truths, `nonzero`, `argwhere`, `torch.where` with one argument, `masked_select`, `unique`. Tensors of the host, lists,
numpy and what is not evidently a tensor are left alone.

## Why

The host has to wait for the NPU to learn the shape, so that nothing is launched ahead; and what follows is prepared,
or in graph mode compiled, for every new shape. 310P compiles outside of graphs too, until the program says
`torch.npu.set_compile_mode(jit_compile=False)` (documentation of torch_npu).

## Before

    import torch


    class Masked(torch.nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor):
            return x[mask > 0].sum()

## What to write instead

    import torch


    class Masked(torch.nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor):
            return torch.where(mask > 0, x, 0).sum()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.analysis.dynamic_shapes.steps import is_boolean, is_tensor, steps
from porter.analysis.flow import Term
from porter.analysis.terms import dotted
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_INSTEAD = {
    "nonzero": "a mask and torch.where, or torch.topk with a fixed number",
    "argwhere": "a mask and torch.where, or torch.topk with a fixed number",
    "where": "torch.where with three arguments",
    "masked_select": "torch.where, and a sum that leaves out the rest",
    "unique": "work it out once before the steps, or on the host",
    "unique_consecutive": "work it out once before the steps, or on the host",
}
_INDEX = "torch.where, masked_fill, or a sum weighted by the mask"

RULE = Rule(
    "DP601",
    "data-dependent-shape",
    __doc__,
    words=("torch",),
    fixes=False,
    targets=frozenset({"npu"}),
    analysis="dynamic-shapes",
)


@RULE.on(ast.Module)
def report(node: ast.Module, unit: Unit) -> Iterator[Found]:
    for step in steps(unit):
        match step.node:
            case ast.Subscript(value=owner, slice=index, ctx=ast.Load()):
                at = step.term.of(index)
                if is_boolean(at) and is_tensor(at) and is_tensor(step.term.of(owner)):
                    message = f"{ast.unparse(step.node)} has as many elements as {ast.unparse(index)} is true"
                    yield unit.report(RULE.code, "note", step.node, f"{message}: the NPU waits for the host", _INDEX)
            case ast.Call(func=ast.Attribute(attr=name)) if name in _INSTEAD and _is_meant(name, step.term):
                message = f"the shape of {ast.unparse(step.node)} depends on its values: the NPU waits for the host"
                yield unit.report(RULE.code, "note", step.node, message, _INSTEAD[name])


def _is_meant(name: str, term: Term) -> bool:
    call = term.node
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Attribute)
    if dotted(term.of(call.func)) == f"torch.{name}":
        return bool(call.args) and is_tensor(term.of(call.args[0])) and (name != "where" or len(call.args) == 1)
    return name != "where" and is_tensor(term.of(call.func.value))
