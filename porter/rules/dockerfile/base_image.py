"""
# DP417 base-image: images made for CUDA that a Dockerfile builds on

## What it does

Reports `FROM` of images of NVIDIA and of images whose tag says CUDA (error). Commands of `RUN`, and what `ENV` and
`ARG` set, are judged by the rules for shell scripts.

## Why

Such an image has the CUDA toolkit and a torch built for it, and none of the libraries of another device. Images with
CANN are published as `ascendai/cann` (the vendor's registry).

## Before

    FROM pytorch/pytorch:2.5.1-cuda12.1-cudnn9-runtime

## What to write instead

    FROM ascendai/cann:8.2.rc1-910b-ubuntu22.04-py3.11
"""

from __future__ import annotations

from collections.abc import Iterator

from porter.docker_instructions import BaseImage, Dockerfile
from porter.made_for_cuda import judged_image
from porter.rules.rule import Rule
from porter.text_unit import TextUnit
from porter.unit import Found

RULE = Rule("DP417", "base-image", __doc__, words=("FROM", "from", "From"), fixes=False, language="dockerfile")


@RULE.on(BaseImage)
def report_the_image(image: BaseImage, unit: TextUnit[Dockerfile]) -> Iterator[Found]:
    if way_out := judged_image(image.name, unit.translation.new):
        yield unit.report(RULE.code, "error", image.span, f"the image {image.name} is made for CUDA", way_out)
