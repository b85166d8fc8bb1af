"""
# DP604 sent-at-every-step: a value of the host that a loop sends to the device again and again

## What it does

With `--dynamic-shapes`, reports `torch.tensor(..., device=...)` and `.to(device)` of a tensor that was made on the
host, in loops that train, denoise or go through batches, where the value is known before the loop: it names nothing
that the loop's body gives a value, and of the loop itself only a number or a step. What comes with a batch is left
alone.

## Why

Each is a copy from the host's memory, for which the NPU's queue waits. One before the loop does for all steps.

## Before

    import torch


    def sample(model, x, timesteps, device):
        for t in timesteps:
            x = model(x, torch.tensor([t], device=device))
        return x

## What to write instead

    import torch


    def sample(model, x, timesteps, device):
        for t in torch.tensor(timesteps, device=device):
            x = model(x, t[None])
        return x
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from porter.analysis.dynamic_shapes.steps import Step, steps
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import text_of

_FROM_THE_HOST = frozenset({"torch.tensor", "torch.as_tensor", "torch.from_numpy"})
_ON_THE_HOST = _FROM_THE_HOST | {"torch.arange", "torch.linspace", "torch.ones", "torch.zeros", "torch.full"}
_KNOWN_BEFORE = re.compile(r"\b(?:t?range|\w*timesteps|\w*steps|\w*sigmas)\b")
_DEVICE = re.compile(r"device|^['\"](?:cuda|npu)\b")
_WAY_OUT = "send it once before the loop, those of all steps in one tensor"

RULE = Rule(
    "DP604",
    "sent-at-every-step",
    __doc__,
    words=("torch", "backward", "loader", "dataloader"),
    fixes=False,
    targets=frozenset({"npu"}),
    analysis="dynamic-shapes",
)


@RULE.on(ast.Module)
def report(node: ast.Module, unit: Unit) -> Iterator[Found]:
    for step in steps(unit):
        sent = _sent(step, unit)
        if sent is not None and _is_known_before(sent, step):
            message = f"{ast.unparse(step.node)} is sent to the NPU at every step of the loop"
            yield unit.report(RULE.code, "note", step.node, message, _WAY_OUT)


def _sent(step: Step, unit: Unit) -> ast.Call | None:
    """The call that makes the tensor on the host which is sent here."""
    match step.node:
        case ast.Call(func=ast.Attribute(value=owner, attr="to"), args=[device, *_]) if _names_a_device(device):
            made = _made(owner, step)
            return (
                made if made is not None and _device(made) is None and unit.dotted(made.func) in _ON_THE_HOST else None
            )
        case ast.Call(func=function) as call if unit.dotted(function) in _FROM_THE_HOST:
            given = _device(call)
            return call if given is not None and _names_a_device(given) else None
    return None


def _made(node: ast.expr, step: Step) -> ast.Call | None:
    """The call that gives a value, or the one thing that its name stands for in the function."""
    if isinstance(node, ast.Name):
        flow = step.term.place.block.function
        bound = [one for one in ast.walk(flow.node) if isinstance(one, ast.Assign) and node.id in _stored(one.targets)]
        if len(bound) != 1 or not isinstance(bound[0].targets[0], ast.Name) or node.id in flow.annotations:
            return None
        node = bound[0].value
    return node if isinstance(node, ast.Call) else None


def _device(call: ast.Call) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == "device"), None)


def _names_a_device(node: ast.expr) -> bool:
    return text_of(node) != "cpu" and _DEVICE.search(ast.unparse(node)) is not None


def _is_known_before(call: ast.Call, step: Step) -> bool:
    """Whether what a tensor is made of is known before the loop that it stands in, but for the number of the step."""
    loop = step.loop
    if loop is None:
        return False
    of_loop = _stored([] if isinstance(loop, ast.While) else [loop.target])
    if of_loop and isinstance(loop, ast.For | ast.AsyncFor) and _KNOWN_BEFORE.search(ast.unparse(loop.iter)):
        of_loop = frozenset()
    given = {part.id for one in call.args for part in ast.walk(one) if isinstance(part, ast.Name)}
    return given.isdisjoint(of_loop | _stored(loop.body))


def _stored(nodes: Sequence[ast.AST]) -> frozenset[str]:
    named = (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))
    return frozenset(part.id for part in named if isinstance(part.ctx, ast.Store))
