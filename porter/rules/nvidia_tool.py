"""
# DP207 nvidia-tool: NVIDIA's command-line tools, run by the program

## What it does

Reports `nvidia-smi`, `nvcc`, `nsys`, `ncu` and `nvprof` in what a program hands to `subprocess`, `os.system`,
`shutil.which` and the like, or keeps as a command. Text that only mentions one is left alone.

## Why

The tool comes with NVIDIA's driver or toolkit, and the call fails without it. Ascend's own are `npu-smi` and `msprof`
(documentation of CANN), Intel's `xpu-smi`, Moore Threads' `mthreads-gmi`.

## Before

    subprocess.run(["nvidia-smi", "-L"], check=True)

## What to write instead

    subprocess.run(["npu-smi", "info", "-l"], check=True)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from porter.made_for_cuda import instead_of
from porter.places import Place, place_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import text_of

_TOOL = re.compile(r"(?:^|[\s/;&|(])(nvidia-smi|nvcc|nsys|ncu|nvprof)(?=$|[\s;&|)])")
_RUNNERS = frozenset(
    """run Popen call check_call check_output getoutput getstatusoutput system popen which spawn execvp
    create_subprocess_exec create_subprocess_shell run_command run_cmd""".split()
)
_COMMANDS = frozenset({"args", "cmd", "cmds", "command", "commands"})

RULE = Rule("DP207", "nvidia-tool", __doc__, words=("smi", "nvcc", "nsys", "ncu", "nvprof"), fixes=False)


@RULE.on(ast.Constant, ast.JoinedStr)
def report_the_tool(node: ast.expr, unit: Unit) -> Iterator[Found]:
    found = _TOOL.search(text_of(node))
    if found and _is_run(place_of(node, unit.source)):
        message = f"{found[1]} is NVIDIA's, and is not there without its driver or toolkit"
        yield unit.report(RULE.code, "warning", node, message, instead_of(found[1], unit.translation.new))


def _is_run(place: Place) -> bool:
    if place.kind in ("positional", "keyword") and place.callee in _RUNNERS:
        return True
    return place.kind in ("assignment", "keyword", "value") and place.label.lower() in _COMMANDS
