"""
# DP304 fork-rng: random state saved without saying whose

## What it does

Reports `torch.random.fork_rng()` without `device_type=`. An empty list of devices, which saves the CPU's state alone,
is left alone.

## Why

Before torch 2.13, `device_type` is `"cuda"` unless it is said (pytorch/pytorch#180512): the accelerator's generator is
neither saved nor put back, and nothing tells (sgl-project/sglang#31027 on Ascend,
intel/intel-extension-for-pytorch#580 on Intel).

## Before

    with torch.random.fork_rng(devices=[device]):
        torch.manual_seed(seed)

## What to write instead

    with torch.random.fork_rng(devices=[device], device_type="npu"):
        torch.manual_seed(seed)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit

RULE = Rule("DP304", "fork-rng", __doc__, words=("fork_rng",), fixes=False)


@RULE.on(ast.Call)
def report_the_missing_device_type(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if unit.dotted(node.func) != "torch.random.fork_rng" or _says_whose(node) or not unit.translation.new.indexed:
        return  # where devices have no numbers, torch.random.fork_rng cannot ask them for their states
    message = f"before torch 2.13 this saves the state of CUDA's generator, not of {unit.translation.new.title}'s"
    yield unit.report(RULE.code, "warning", node, message, f'device_type="{unit.translation.new.name}"')


def _says_whose(call: ast.Call) -> bool:
    """By `device_type=`, by a `**` that may hold it, or by naming no device."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    devices = call.args[0] if call.args else given.get("devices")
    empty = isinstance(devices, ast.List | ast.Tuple) and not devices.elts
    return empty or "device_type" in given or None in given or len(call.args) >= 5
