"""
# DP603 growing-tensor: a tensor that grows at every turn of a loop

## What it does

With `--dynamic-shapes`, reports `x = torch.cat([x, new])` in a loop, where nothing else in the loop gives `x` a value.
Only loops over numbers, steps, frames and the like count, and those of `while`. A tensor that is made smaller again, or
anew, in the same loop is left alone.

## Why

At every turn all that follows has a new shape, for which the NPU prepares its operators, and in graph mode compiles;
and all that was there is copied.

## Before

    import torch


    def collect(frames):
        video = frames[0]
        for frame in frames[1:]:
            video = torch.cat([video, frame])
        return video

## What to write instead

    import torch


    def collect(frames):
        return torch.cat(frames)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from porter.analysis.flow import flows
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_JOINS = frozenset({"torch.cat", "torch.concat", "torch.concatenate", "torch.hstack", "torch.vstack"})
_MANY = frozenset("range trange loader dataloader timesteps steps frames chunks batches tokens sigmas".split())
_WAY_OUT = "collect a list and join it once behind the loop, or make the whole tensor before it and write into parts"

RULE = Rule(
    "DP603",
    "growing-tensor",
    __doc__,
    words=("cat", "concat", "concatenate", "hstack", "vstack"),
    fixes=False,
    targets=frozenset({"npu"}),
    analysis="dynamic-shapes",
)


@RULE.on(ast.Module)
def report(node: ast.Module, unit: Unit) -> Iterator[Found]:
    for flow in flows(unit):
        said: set[ast.AST] = set()
        for loop in ast.walk(flow.node):
            if not isinstance(loop, ast.For | ast.While | ast.AsyncFor) or not _turns_often(loop):
                continue
            for statement in _within(loop):
                name = _grown(statement, unit)
                if name is None or statement in said or _bound_count(loop, name) != 1:
                    continue
                said.add(statement)
                message = f"{name} grows at every turn of the loop: each is a new shape, and a copy of all before"
                yield unit.report(RULE.code, "note", statement, message, _WAY_OUT)


def _turns_often(loop: ast.For | ast.While | ast.AsyncFor) -> bool:
    """Whether a loop is over numbers, steps, frames and the like, rather than over the few parts of one thing."""
    if isinstance(loop, ast.While):
        return True
    words = re.findall(r"[a-z]+", ast.unparse(loop.iter).lower())
    return not _MANY.isdisjoint(words)


def _within(loop: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(loop):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _within(child)


def _grown(statement: ast.AST, unit: Unit) -> str | None:
    match statement:
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.Call(func=function, args=[ast.Tuple(elts=parts) | ast.List(elts=parts), *_]),
        ) if unit.dotted(function) in _JOINS:
            is_in = sum(isinstance(one, ast.Name) and one.id == name for one in parts)
            return name if is_in == 1 and len(parts) > 1 else None
        case _:
            return None


def _bound_count(loop: ast.AST, name: str) -> int:
    return sum(
        isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Store) for one in ast.walk(loop)
    )
