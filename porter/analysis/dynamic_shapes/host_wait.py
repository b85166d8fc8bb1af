"""
# DP602 host-wait: a value that the host asks for at every step

## What it does

With `--dynamic-shapes`, reports `.item()`, `.tolist()`, `.cpu()`, `.numpy()`, `float(...)`, `int(...)` and `bool(...)`
of a tensor, and `if` and `while` about one, in loops that train, denoise or go through batches and in a module's
`forward`. Values of the host, what is asked now and then (`if step % 100 == 0:`) and what is not evidently a tensor of
the accelerator are left alone.

## Why

The host launches operators ahead of the NPU. Here it waits until all are done, and the NPU then waits for the next.

## Before

    import torch


    def train(model, loader, optimizer):
        total = 0.0
        for batch in loader:
            loss = model(batch)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

## What to write instead

    import torch


    def train(model, loader, optimizer):
        total = 0.0
        for batch in loader:
            loss = model(batch)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return float(total)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.analysis.dynamic_shapes.steps import Step, is_tensor, steps
from porter.analysis.flow import opened
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_METHODS = frozenset("item tolist cpu numpy".split())
_LOOP = "keep it on the device (detach), and read it once behind the loop or every so many steps"
_FORWARD = "work it out on the host beforehand, or keep it a tensor"
_BRANCH = "torch.where, or ask once behind the loop"

RULE = Rule(
    "DP602",
    "host-wait",
    __doc__,
    words=("torch", "backward", "loader", "dataloader"),
    fixes=False,
    targets=frozenset({"npu"}),
    analysis="dynamic-shapes",
)


@RULE.on(ast.Module)
def report(node: ast.Module, unit: Unit) -> Iterator[Found]:
    said: set[int] = set()
    for step in steps(unit):
        asked = _asked(step)
        if asked is None or step.node.lineno in said:
            continue
        said.add(step.node.lineno)
        where = "at every step of the loop" if step.loop is not None else "whenever forward runs"
        message = f"{ast.unparse(step.node)} makes the host wait for the NPU {where}"
        yield unit.report(RULE.code, "note", step.node, message, asked)


def _asked(step: Step) -> str | None:
    """What to do instead, if the host asks for a value here."""
    way_out = _LOOP if step.loop is not None else _FORWARD
    match step.node:
        case ast.Call(func=ast.Attribute(value=owner, attr=name), args=[]) if name in _METHODS:
            return way_out if is_tensor(step.term.of(owner)) else None
        case ast.Call(func=ast.Name(id="float" | "int" | "bool"), args=[given], keywords=[]):
            return way_out if is_tensor(step.term.of(given)) else None
    statement = step.term.place.block.statements[step.term.place.at]
    if isinstance(statement, ast.If | ast.While) and step.node is statement.test:
        return _BRANCH if _is_of_a_tensor(step) else None
    return None


def _is_of_a_tensor(step: Step) -> bool:
    """`if (x > 0).any():`, `if torch.isnan(x).any():`: what is asked is a tensor itself."""
    term = step.term
    while isinstance(term.node, ast.UnaryOp) and isinstance(term.node.op, ast.Not):
        term = term.of(term.node.operand)
    shown = opened(term)
    is_reduced = isinstance(shown.node, ast.Call) and isinstance(shown.node.func, ast.Attribute)
    return is_reduced and shown.node.func.attr in ("any", "all", "isnan", "max", "min", "sum") and is_tensor(shown)  # type: ignore[attr-defined]
