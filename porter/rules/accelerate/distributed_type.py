"""
# DP411 distributed-type: how accelerate is configured to distribute

## What it does

In configuration files of accelerate (YAML with `compute_environment` and `distributed_type`), renames `MULTI_GPU` to
the target's own: `MULTI_NPU`, `MULTI_XPU`, `MULTI_MUSA`. `DEEPSPEED`, `FSDP` and `NO` stay, and so does every other
entry, `gpu_ids` among them: accelerate hands those on as the target's visible devices. Ids that are no numbers are
reported (error), and so is `MULTI_GPU` for a target without several devices.

## Why

accelerate has one type for each kind of device (documentation of accelerate, DistributedType).

## Before

    compute_environment: LOCAL_MACHINE
    distributed_type: MULTI_GPU
    num_processes: 8

## After

    compute_environment: LOCAL_MACHINE
    distributed_type: MULTI_NPU
    num_processes: 8
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.accelerate_config import AccelerateConfig, Entry
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.text_unit import TextUnit, replaced
from porter.unit import Found


def _words(translation: Translation) -> frozenset[str]:
    return frozenset({translation.old.frameworks.get("accelerate", "MULTI_GPU"), "gpu_ids"})


RULE = Rule("DP411", "distributed-type", __doc__, words=_words, language="accelerate")


@RULE.on(AccelerateConfig)
def rename_the_type(config: AccelerateConfig, unit: TextUnit[AccelerateConfig]) -> Iterator[Found]:
    old, new = (one.frameworks.get("accelerate") for one in (unit.translation.old, unit.translation.new))
    for entries in config.configurations:
        entry = entries["distributed_type"]
        if entry.text != old:
            continue
        if new is None:
            message = f"accelerate knows no several devices of {unit.translation.new.title}"
            yield unit.report(RULE.code, "error", entry.span, message, "distributed_type: 'NO'")
        else:
            at = config.data.index(old.encode(), *entry.span)
            edit = replaced((at, at + len(old)), new)
            yield unit.fix(RULE.code, entry.span, f"{old} becomes {new}", edit)


@RULE.on(Entry)
def report_ids_that_are_no_numbers(entry: Entry, unit: TextUnit[AccelerateConfig]) -> Iterator[Found]:
    is_ids = entry.key == "gpu_ids" and not entry.entries and not unit.translation.undoes
    if is_ids and not re.fullmatch(r"all|null|~|[\d\s,]*", entry.text, re.IGNORECASE):
        message = f"accelerate hands these ids on as visible devices, which are numbers, not {entry.text!r}"
        yield unit.report(RULE.code, "error", entry.span, message, "name the devices by their numbers")
