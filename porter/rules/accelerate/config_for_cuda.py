"""
# DP412 config-for-cuda: settings of accelerate that only CUDA has

## What it does

In configuration files of accelerate, reports what is made for NVIDIA devices: Megatron-LM (error); fp8, backends of
torch.compile for CUDA, CPU affinity (warning).

## Why

Megatron-LM and the libraries behind fp8, TransformerEngine and MS-AMP, need NVIDIA devices; CPU affinity is read off
NVML, which is NVIDIA's (documentation of accelerate). Settings of DeepSpeed and FSDP hold for other devices too.

## Before

    compute_environment: LOCAL_MACHINE
    distributed_type: 'NO'
    mixed_precision: fp8

## What to write instead

    compute_environment: LOCAL_MACHINE
    distributed_type: 'NO'
    mixed_precision: bf16
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from porter.accelerate_config import AccelerateConfig, Entry
from porter.rules.rule import Rule
from porter.text_unit import TextUnit
from porter.unit import Found


class _Setting(NamedTuple):
    key: str
    values: str
    severity: str
    why: str
    way_out: str


_FP8 = "fp8 is done by TransformerEngine or MS-AMP, for NVIDIA devices"
_SETTINGS = (
    _Setting("mixed_precision", "fp8", "warning", _FP8, "mixed_precision: bf16"),
    _Setting("distributed_type", "MEGATRON_LM", "error", "Megatron-LM needs NVIDIA devices", "DEEPSPEED or FSDP"),
    _Setting(
        "enable_cpu_affinity",
        "true|yes|on",
        "warning",
        "accelerate asks NVML for the cores, which is NVIDIA's",
        "enable_cpu_affinity: false",
    ),
    _Setting(
        "dynamo_backend",
        "cudagraphs|tensorrt|fx2trt|nvprims.*|aot_nvfuser|aot_cudagraphs|nvfuser",
        "warning",
        "this backend of torch.compile is for CUDA only",
        "INDUCTOR, or 'NO'",
    ),
)

RULE = Rule(
    "DP412",
    "config-for-cuda",
    __doc__,
    words=("mixed_precision", "MEGATRON_LM", "enable_cpu_affinity", "dynamo_backend"),
    fixes=False,
    language="accelerate",
)


@RULE.on(Entry)
def report_the_setting(entry: Entry, unit: TextUnit[AccelerateConfig]) -> Iterator[Found]:
    for setting in _SETTINGS:
        if re.fullmatch(setting.key, entry.key) and re.fullmatch(setting.values, entry.text, re.IGNORECASE):
            yield unit.report(RULE.code, setting.severity, entry.span, setting.why, setting.way_out)
