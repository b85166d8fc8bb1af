"""
# DP308 out-of-memory-text: CUDA's message looked for in an error

## What it does

Reports `"CUDA out of memory"` where it is compared with, searched for or matched. Messages that the program writes
itself are left alone.

## Why

On Ascend the text begins with "NPU out of memory. Tried to allocate ..." (vllm-project/vllm-omni#1199), so the program
takes what it meant to survive for another error.

## Before

    if "CUDA out of memory" in str(error):
        batch_size //= 2

## What to write instead

    if "out of memory" in str(error):
        batch_size //= 2
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeGuard

from porter.places import Place, place_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import text_of

_MESSAGE = re.compile(r"\b(CUDA|cuda) (error: )?out of memory")
_SEARCHES = frozenset({"search", "match", "fullmatch", "find", "index", "count", "compile", "findall"})

RULE = Rule(
    "DP308",
    "out-of-memory-text",
    __doc__,
    words=("memory",),
    fixes=False,
    targets=frozenset({"npu"}),
    beside=("out",),
)


@RULE.on(ast.Constant)
def report_the_text(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    if (
        _MESSAGE.search(text_of(node))
        and _is_looked_for(place_of(node, unit.source))
        and not _is_found_without_it(node, unit)
    ):
        message = f'on {unit.translation.new.title} the message begins with "NPU out of memory"'
        yield unit.report(RULE.code, "warning", node, message, 'look for "out of memory"')


def _is_found_without_it(node: ast.Constant, unit: Unit) -> bool:
    """Whether a part of it is looked for as well: `"out of memory" in text or "CUDA out of memory" in text`."""
    question = unit.source.parent.get(node)
    choice = unit.source.parent.get(question) if question is not None else None
    if not isinstance(choice, ast.BoolOp) or not isinstance(choice.op, ast.Or):
        return False
    others = (one.left for one in choice.values if one is not question and _asks_whether_it_is_in(one))
    return any(isinstance(other, ast.Constant) and text_of(other) in text_of(node) for other in others)


def _asks_whether_it_is_in(node: ast.expr) -> TypeGuard[ast.Compare]:
    return isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In)


def _is_looked_for(place: Place) -> bool:
    if place.kind == "positional":
        return place.callee in _SEARCHES
    return place.kind == "comparison" or (place.kind == "keyword" and place.label in ("match", "pattern"))
