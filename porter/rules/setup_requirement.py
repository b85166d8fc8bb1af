"""
# DP218 setup-requirement: packages made for CUDA in setup.py

## What it does

Reports entries of `install_requires=`, `setup_requires=`, `tests_require=` and `extras_require=` that are made for
CUDA, with what does their work and whether a wheel for aarch64 exists (error, warning), and builds of torch for CUDA
(error).

## Why

The installation fails, or the first kernel does (the packages' own documentation).

## Before

    setup(name="model", install_requires=["torch==2.5.1+cu121", "flash-attn"])

## What to write instead

    setup(name="model", install_requires=["torch==2.5.1", "torch-npu==2.5.1.post1"])
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.required_packages import judged
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_LISTS = ("install_requires", "setup_requires", "tests_require", "extras_require")

RULE = Rule("DP218", "setup-requirement", __doc__, words=_LISTS, fixes=False)


@RULE.on(ast.keyword)
def report_the_packages(node: ast.keyword, unit: Unit) -> Iterator[Found]:
    if node.arg not in _LISTS:
        return
    for value in ast.walk(node.value):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found = judged(value.value, unit.translation.new.name)
            if found is not None and found.severity != "note":
                yield unit.report(RULE.code, found.severity, value, found.message, found.way_out)
