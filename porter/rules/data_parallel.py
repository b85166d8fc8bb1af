"""
# DP215 data-parallel: one process for several devices

## What it does

Reports `torch.nn.DataParallel` (error). `DistributedDataParallel` is left alone, and so is a class that is only asked
for by `isinstance`.

## Why

DataParallel scatters over the devices of one process, which the vendor does not support on Ascend NPUs (its table of
native APIs); the model stays on one device, or the call raises.

## Before

    model = torch.nn.DataParallel(model).cuda()

## What to write instead

    model = torch.nn.parallel.DistributedDataParallel(model.npu(), device_ids=[rank])
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import is_only_a_type, torch_names

NAMES = frozenset(
    {
        "torch.nn.DataParallel",
        "torch.nn.parallel.DataParallel",
        "torch.nn.parallel.data_parallel",
        "torch.nn.parallel.data_parallel.DataParallel",
    }
)

RULE = Rule(
    "DP215",
    "data-parallel",
    __doc__,
    words=("DataParallel", "data_parallel"),
    fixes=False,
    targets=frozenset({"npu"}),
)


@RULE.on(ast.Attribute, ast.ImportFrom)
def report_the_wrapper(node: ast.AST, unit: Unit) -> Iterator[Found]:
    for place, name in torch_names(node, unit):
        if name in NAMES and not is_only_a_type(place, unit.source):
            message = f"{unit.translation.new.title} does not run {name}"
            way_out = "DistributedDataParallel, one process a device: torchrun --nproc_per_node 8"
            yield unit.report(RULE.code, "error", place, message, way_out)
