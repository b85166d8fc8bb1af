"""
# DP416 requirement: packages made for CUDA in requirements.txt

## What it does

Reports requirements that are made for CUDA, with what does their work and whether a wheel for aarch64 exists (error,
warning); builds of torch for CUDA and indexes of them (error); torch without the torch_npu that goes with it (note).

## Why

torch_npu is built for one release of torch each, and what is made of CUDA kernels is not installed, or fails at its
first call (documentation of torch_npu; the packages' own).

## Before

    --extra-index-url https://download.pytorch.org/whl/cu121
    torch==2.5.1+cu121
    flash-attn>=2.6

## What to write instead

    torch==2.5.1
    torch-npu==2.5.1.post1
"""

from __future__ import annotations

from collections.abc import Iterator

from porter.required_packages import WORDS, Requirement, RequirementsFile, is_torch_npu, judged, judged_index
from porter.rules.rule import Rule
from porter.text_unit import TextUnit
from porter.unit import Found

RULE = Rule("DP416", "requirement", __doc__, words=tuple(sorted(WORDS)), fixes=False, language="requirements")


@RULE.on(Requirement)
def report_the_requirement(requirement: Requirement, unit: TextUnit[RequirementsFile]) -> Iterator[Found]:
    target = unit.translation.new.name
    found = judged_index(requirement.text, target) if requirement.is_option else judged(requirement.text, target)
    if found is None or (found.severity == "note" and any(is_torch_npu(one.text) for one in unit.source.requirements)):
        return
    yield unit.report(RULE.code, found.severity, requirement.span, found.message, found.way_out)
