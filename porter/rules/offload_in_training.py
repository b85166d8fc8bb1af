"""
# DP307 offload-in-training: a memory limit in a training script

## What it does

Reports `vram_limit=` in a script that imports accelerate.

## Why

Offloading moves weights between host and device while a model runs, and accelerate prepares the model for staying
where it is: the input is on the device, a weight on the CPU, and the step raises (modelscope/DiffSynth-Studio#1257,
second report). Offloading belongs to inference.

## Before

    from accelerate import Accelerator

    pipe = WanVideoPipeline.from_pretrained(model_configs=configs, vram_limit=16)

## What to write instead

    from accelerate import Accelerator

    pipe = WanVideoPipeline.from_pretrained(model_configs=configs)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit

RULE = Rule(
    "DP307",
    "offload-in-training",
    __doc__,
    words=("accelerate",),
    fixes=False,
    targets=frozenset({"npu"}),
    beside=("vram_limit",),
)


@RULE.on(ast.Import, ast.ImportFrom)
def report_the_limits(node: ast.Import | ast.ImportFrom, unit: Unit) -> Iterator[Found]:
    if node is not _first_import_of_accelerate(unit):
        return
    for keyword in unit.source.walk(unit.source.lines_of({b"vram_limit"})):
        if isinstance(keyword, ast.keyword) and keyword.arg == "vram_limit" and not _is_none(keyword.value):
            message = "offloading by vram_limit does not work together with accelerate's training"
            way_out = "leave it out, and train with gradient checkpointing"
            yield unit.report(RULE.code, "warning", keyword, message, way_out)


def _first_import_of_accelerate(unit: Unit) -> ast.stmt | None:
    for statement in unit.source.names.imports:
        if isinstance(statement, ast.Import):
            modules = [alias.name for alias in statement.names]
        else:
            modules = [statement.module or ""] if not statement.level else []
        if any(module.split(".")[0] == "accelerate" for module in modules):
            return statement
    return None


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
