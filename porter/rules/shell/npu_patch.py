"""
# DP403 npu-patch: the Z-Image series, which has operators of its own for Ascend NPUs

## What it does

Adds `--enable_npu_patch` to each launch of a training of the Z-Image series, told from the model ids and paths on the
command line. The launched script has to know the option, so its parser is read, with the helpers that it imports;
where the script or a helper is not found, that is reported and nothing is added.

## Why

The option puts fused operators for normalisation and rotary embedding in the place of the model's own.

## Before

    accelerate launch z_image/train.py \\
      --model_id_with_origin_paths "Tongyi-MAI/Z-Image-Turbo:transformer/*.safetensors"

## After

    export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
    export CPU_AFFINITY_CONF=1

    accelerate launch z_image/train.py \\
      --model_id_with_origin_paths "Tongyi-MAI/Z-Image-Turbo:transformer/*.safetensors" \\
      --enable_npu_patch
"""

from __future__ import annotations

from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.shell.flag import Flag
from porter.shell.launch import Launch
from porter.shell.script import ShellScript
from porter.text_unit import TextUnit
from porter.unit import Found

_FLAG = Flag("enable_npu_patch")

RULE = Rule(
    "DP403",
    "npu-patch",
    __doc__,
    words=("model_id_with_origin_paths", "model_paths", _FLAG.name),
    targets=frozenset({"npu"}),
    language="shell",
)


@RULE.on(Launch)
def turn_the_patch_on(launch: Launch, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    yield from _FLAG.judged(RULE.code, launch, unit)
