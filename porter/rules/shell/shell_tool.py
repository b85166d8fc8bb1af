"""
# DP406 shell-nvidia-tool: NVIDIA's command-line tools in a shell script

## What it does

Reports commands of NVIDIA's driver and toolkit: `nvidia-smi`, `nvcc`, `nsys`, `ncu`, `nvprof`, `dcgmi`,
`compute-sanitizer` and the like, also behind `watch`, `sudo` and other commands that run one.

## Why

The command is not found without NVIDIA's driver or toolkit, and under `set -e` the script ends there. Ascend's own are
`npu-smi` and `msprof` (documentation of CANN), Intel's `xpu-smi`, Moore Threads' `mthreads-gmi`.

## Before

    nvidia-smi -L

## What to write instead

    npu-smi info -l
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from porter.made_for_cuda import TOOLS, instead_of
from porter.rules.rule import Rule
from porter.shell.command import RUN_ANOTHER, Command
from porter.shell.script import ShellScript
from porter.text_unit import TextUnit
from porter.unit import Found

RULE = Rule(
    "DP406",
    "shell-nvidia-tool",
    __doc__,
    words=tuple(sorted(tool.rpartition("-")[2] for tool in TOOLS)),
    fixes=False,
    language="shell",
)


@RULE.on(Command)
def report_the_tool(command: Command, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    for index, word in enumerate(command.words):
        tool = os.path.basename(word.text)
        if tool in TOOLS:
            message = f"{tool} is NVIDIA's, and is not there without its driver or toolkit"
            way_out = instead_of(tool, unit.translation.new)
            yield unit.report(RULE.code, "warning", (word.start, word.end), message, way_out)
            return
        if not index and tool not in RUN_ANOTHER:
            return
