"""
# DP420 npu-script-kept: an NPU script that is there already

## What it does

Notes, under `--npu-scripts`, that the NPU script which belongs to a launch script is there and is another than the port
would write: `special/npu_training/X-NPU.sh`, whatever its letters' case. It stays as it is.

## Why

Someone wrote or edited it, and may know better: a learning rate, another way to fit into memory.

## Before

    model_training/full/X.sh:1:1: DP420 note model_training/special/npu_training/X-NPU.sh is kept; the NPU form of
    this script differs from it

## What to write instead

Nothing, if it is as you want it. This shows what differs; delete the NPU script to have it written anew.

    diffsynth-port model_training/full/X.sh --target npu --npu-scripts --diff
"""

from __future__ import annotations

from porter.rules.rule import Rule

RULE = Rule(
    "DP420",
    "npu-script-kept",
    __doc__,
    words=(),
    fixes=False,
    targets=frozenset({"npu"}),
    language="shell",
)
