"""
# DP213 star-import: a module that `from torch import *` does not bring

## What it does

Reports `cuda` where a file has it from no import but `from torch import *` (error).

## Why

A star import takes what `torch.__all__` lists, and no module of a device is in it: the name is not defined, under
either accelerator.

## Before

    from torch import *
    cuda.empty_cache()

## What to write instead

    import torch
    torch.npu.empty_cache()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit

RULE = Rule(
    "DP213",
    "star-import",
    __doc__,
    words=("cuda",),
    fixes=False,
    spelled={"cuda": r"import[\s\\]*\*"},
)


@RULE.on(ast.Attribute)
def report_the_module(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    base = node.value
    if not isinstance(base, ast.Name) or base.id != "cuda" or not _is_starred(unit):
        return
    names = unit.source.names
    if base.id in names.bound or base.id in names.defined or base.id in names.parameters:
        return
    if not any(_assigns(one, base.id) for one in unit.source.walk(unit.source.lines_of({b"cuda"}))):
        way_out = f"import torch, and write torch.{unit.translation.names['cuda']}"
        yield unit.report(RULE.code, "error", base, "`from torch import *` does not bring a module cuda", way_out)


def _is_starred(unit: Unit) -> bool:
    statements = unit.source.names.imports
    return any(
        isinstance(one, ast.ImportFrom) and one.module == "torch" and one.names[0].name == "*" for one in statements
    )


def _assigns(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
