"""
# DP415 config-requirement: packages made for CUDA in pyproject.toml and environment.yml

## What it does

Reports the dependencies of `pyproject.toml` and of conda's `environment.yml` that are made for CUDA, with what does
their work and whether a wheel for aarch64 exists (error, warning); builds of torch for CUDA and indexes of them
(error); torch without the torch_npu that goes with it (note).

## Why

torch_npu is built for one release of torch each, and what is made of CUDA kernels is not installed, or fails at its
first call (documentation of torch_npu; the packages' own).

## Before

    channels:
      - nvidia
    dependencies:
      - pytorch-cuda=12.1

## What to write instead

    channels:
      - conda-forge
    dependencies:
      - pip:
          - torch==2.12.0
          - torch-npu==2.12.0.post3
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.configuration_file import Configuration, Value
from porter.required_packages import is_torch_npu, judged, judged_index
from porter.rules.rule import Rule
from porter.text_unit import TextUnit
from porter.unit import Found

_LISTS = re.compile(r"dependencies|requires|install_requires|pip|dev-dependencies|requirements")

RULE = Rule(
    "DP415",
    "config-requirement",
    __doc__,
    words=("dependencies", "requires", "requirements", "index", "channels", "url"),
    fixes=False,
    language="configuration",
)


@RULE.on(Configuration)
def report_the_packages(source: Configuration, unit: TextUnit[Configuration]) -> Iterator[Found]:
    requirements = [value for value in source.values if _is_requirement(value)]
    has_torch_npu = any(is_torch_npu(value.text) for value in requirements)
    for value in requirements:
        found = judged(value.text, unit.translation.new.name)
        if found is not None and not (found.severity == "note" and has_torch_npu):
            yield unit.report(RULE.code, found.severity, value.span, found.message, found.way_out)


@RULE.on(Value)
def report_the_index(value: Value, unit: TextUnit[Configuration]) -> Iterator[Found]:
    if "channels" in value.path and value.text == "nvidia":
        yield unit.report(RULE.code, "error", value.span, "this channel holds CUDA's own libraries", "leave it out")
    elif not _is_requirement(value) and (found := judged_index(value.text, unit.translation.new.name)):
        yield unit.report(RULE.code, found.severity, value.span, found.message, found.way_out)


def _is_requirement(value: Value) -> bool:
    """An entry of a list of packages: `dependencies`, a list of an extra, `pip` below conda's."""
    around = value.path[-2:]
    if "scripts" in value.path or "urls" in value.path:
        return False
    return any(_LISTS.fullmatch(key) for key in around) or "optional-dependencies" in around
