"""
# DP414 config-gpu: GPUs that a configuration file asks a framework or cluster for

## What it does

Reports what asks for NVIDIA devices in YAML, JSON and TOML: the resource `nvidia.com/gpu` of Kubernetes, `driver:
nvidia` and `runtime: nvidia` of Docker, images made for CUDA, and the accelerator "gpu" of a Lightning trainer (error).

## Why

A cluster gives Ascend NPUs as `huawei.com/Ascend910`, by the vendor's device plugin, and Docker hands them in by its
runtime `ascend` (documentation of MindCluster and Ascend Docker Runtime). Lightning has no accelerator for them.

## Before

    resources:
      limits:
        nvidia.com/gpu: 1

## What to write instead

    resources:
      limits:
        huawei.com/Ascend910: 1
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.configuration_file import Configuration, Key, Value
from porter.made_for_cuda import judged_image
from porter.rules.rule import Rule
from porter.text_unit import TextUnit
from porter.unit import Found

RULE = Rule(
    "DP414",
    "config-gpu",
    __doc__,
    words=("nvidia", "gpu", "cuda", "nvcr", "image", "container", "docker_image"),
    fixes=False,
    language="configuration",
)


@RULE.on(Key)
def report_the_resource(key: Key, unit: TextUnit[Configuration]) -> Iterator[Found]:
    if re.fullmatch(r"nvidia\.com/\S+", key.text):
        resource = unit.translation.new.tools.get("resource", "the device's own resource")
        yield unit.report(RULE.code, "error", key.span, f"the resource {key.text} is NVIDIA's", resource)


@RULE.on(Value)
def report_the_value(value: Value, unit: TextUnit[Configuration]) -> Iterator[Found]:
    new = unit.translation.new
    if value.key in ("driver", "runtime") and value.text == "nvidia":
        own = new.tools.get("runtime", "the device's own runtime")
        yield unit.report(RULE.code, "error", value.span, f"{value.key} {value.text} hands in NVIDIA devices", own)
    elif value.key == "accelerator" and value.text == "gpu" and "trainer" in value.path[:-1]:
        if "lightning" in new.frameworks:
            return
        message = f'Lightning means CUDA or MPS by "gpu", and has no accelerator for {new.title}'
        yield unit.report(RULE.code, "error", value.span, message, "an Accelerator of your own")
    elif value.key in ("image", "container", "docker_image") and (way_out := judged_image(value.text, new)):
        yield unit.report(RULE.code, "error", value.span, f"the image {value.text} is made for CUDA", way_out)
