"""
# DP108 profiler-activity: which device's kernels the profiler records

## What it does

`ProfilerActivity.CUDA` becomes the target's own activity, and `use_cuda=` of the older profiler is reported.

## Why

The profiler records nothing for a device whose activity it was not asked for, and says nothing about it.

## Before

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        pipe(prompt)

## After

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.NPU]) as profiler:
        pipe(prompt)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.findings import Edit
from porter.places import label_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(word for word in (translation.old.profiler_activity, "use_cuda") if word)


RULE = Rule("DP108", "profiler-activity", __doc__, words=_words, beside=("ProfilerActivity", "profile", "profiler"))


@RULE.on(ast.Attribute)
def record_the_new_device(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    old, new = unit.translation.old, unit.translation.new
    enumeration = unit.dotted(node.value) or label_of(node.value)
    if node.attr != old.profiler_activity or enumeration.rpartition(".")[2] != "ProfilerActivity":
        return
    if new.profiler_activity:
        edit = Edit(*unit.source.span(node), "rename_chain", ((node.attr,), (new.profiler_activity,)))
        message = f"ProfilerActivity.{node.attr} becomes ProfilerActivity.{new.profiler_activity}"
        yield unit.fix(RULE.code, node, message, edit)
    else:
        yield unit.report(RULE.code, "error", node, f"torch's profiler has no activity for {new.title}")


@RULE.on(ast.keyword)
def report_the_older_switch(node: ast.keyword, unit: Unit) -> Iterator[Found]:
    call = unit.source.parent.get(node)
    if unit.translation.undoes or node.arg != "use_cuda" or not isinstance(call, ast.Call):
        return
    if label_of(call.func) in ("profile", "profiler"):
        way_out = f'use_device="{unit.translation.new.name}"'
        message = "use_cuda= of the autograd profiler records CUDA kernels only"
        yield unit.report(RULE.code, "warning", node, message, way_out)
