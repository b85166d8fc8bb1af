"""
# DP405 shell-device: devices and backends among the options of a command

## What it does

Renames `cuda` (`cuda:1`) and `nccl` where an option or a variable that says so is given them: `--device cuda`,
`--device=cuda:0`, `DEVICE=cuda`, `--backend nccl`. For a target without a communication backend, `nccl` is an error.

## Why

The script gets the device as text, so what it asks torch for is CUDA, which is not there.

## Before

    python generate.py --device cuda:0 --prompt cuda

## After

    python generate.py --device npu:0 --prompt cuda
"""

from __future__ import annotations

from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.shell.device_value import device_values
from porter.shell.script import ShellScript
from porter.targets import Translation
from porter.text_unit import TextUnit, replaced
from porter.unit import Found


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(filter(None, (translation.old.name, translation.old.backend)))


RULE = Rule("DP405", "shell-device", __doc__, words=_words, language="shell")


@RULE.on(ShellScript)
def rename_the_device(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    new = unit.translation.new
    for value in device_values(script, unit.translation.old):
        name = new.backend if value.is_backend else new.name
        if name:
            message, edit = f"{value.old} becomes {name}", replaced(value.span, name)
            yield unit.fix(RULE.code, value.span, message, edit)
        else:
            way_out = 'run in one process, or use "gloo" on CPU copies'
            yield unit.report(RULE.code, "error", value.span, f"{new.title} has no communication backend", way_out)
