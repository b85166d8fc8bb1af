"""
# DP407 cuda-only-option: options that ask for what only CUDA has

## What it does

Reports options on the command line of a launch that ask for parts made for NVIDIA devices: `--nproc_per_node gpu`
(error); flash-attn, xformers, 8-bit optimizers, fp8, CUDA graphs, TensorRT, `--enable_cpu_affinity` of accelerate
(warning); TF32 (note).

## Why

torchrun counts CUDA devices for `gpu` and raises where there are none (torch.distributed.run). flash-attn, xformers and
bitsandbytes come as CUDA kernels, fp8 training goes by TransformerEngine or MS-AMP, and accelerate reads CPU affinity
off NVML, which is NVIDIA's (documentation of accelerate). TF32 is a format of NVIDIA's tensor cores.

## Before

    torchrun --nproc_per_node=gpu generate.py --use_8bit_adam

## What to write instead

    torchrun --nproc_per_node=8 generate.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from porter.rules.rule import Rule
from porter.shell.command import Word
from porter.shell.launch import Launch
from porter.shell.script import ShellScript
from porter.text_unit import TextUnit
from porter.unit import Found


class _Option(NamedTuple):
    """An option, with dashes as underscores, and those of its values that are meant; none: the option itself."""

    name: str
    values: str
    severity: str
    why: str
    way_out: str


_ATTENTION = "leave it out: torch's scaled_dot_product_attention has a kernel for the device"
_ADAM = "AdamW of torch"
_KERNELS = "is made of CUDA kernels"
_OPTIONS = (
    _Option("nproc_per_node", "gpu", "error", "counts CUDA devices and raises where there are none", "the number"),
    _Option("enable_cpu_affinity", "", "warning", "asks NVML, which is NVIDIA's", "export CPU_AFFINITY_CONF=1"),
    _Option("mixed_precision", "fp8", "warning", "is done by TransformerEngine or MS-AMP, for NVIDIA devices", "bf16"),
    _Option("fp8_backend", ".*", "warning", "is for NVIDIA devices", "--mixed_precision bf16"),
    _Option("fp8_models", ".+", "warning", "stores float8 weights, which the device may not convert", "leave it out"),
    _Option("dynamo_backend", "(?i:cudagraphs|tensorrt|fx2trt|nvprims.*)", "warning", "is for CUDA only", "inductor"),
    _Option("use_flash_attn", "", "warning", _KERNELS, _ATTENTION),
    _Option("use_flash_attention", "", "warning", _KERNELS, _ATTENTION),
    _Option("use_flash_attention_2", "", "warning", _KERNELS, _ATTENTION),
    _Option("attn_implementation", "flash_attention_[23]", "warning", _KERNELS, "sdpa"),
    _Option("enable_xformers_memory_efficient_attention", "", "warning", _KERNELS, _ATTENTION),
    _Option("xformers", "", "warning", _KERNELS, _ATTENTION),
    _Option("use_8bit_adam", "", "warning", "is bitsandbytes, made of CUDA kernels", _ADAM),
    _Option("optim", ".*(?:8bit|bnb).*", "warning", "is bitsandbytes, made of CUDA kernels", "adamw_torch"),
    _Option("use_cuda_graph", "", "warning", "captures CUDA graphs", "leave it out"),
    _Option("allow_tf32", "", "note", "is about NVIDIA's tensor cores", ""),
    _Option("tf32", "", "note", "is about NVIDIA's tensor cores", ""),
)

#: Words of those names where they are written with dashes.
_PARTS = ("nproc", "affinity", "fp8", "dynamo", "flash", "attn", "8bit", "graph", "tf32")

RULE = Rule(
    "DP407",
    "cuda-only-option",
    __doc__,
    words=(*(one.name for one in _OPTIONS), *_PARTS),
    fixes=False,
    language="shell",
)


@RULE.on(Launch)
def report_the_option(launch: Launch, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    for words in (launch.options, launch.arguments):
        for option, word, value in _named(words):
            shown = f"--{word.text.lstrip('-').partition('=')[0]}{' ' + value if option.values else ''}"
            message = f"{shown} {option.why}"
            yield unit.report(RULE.code, option.severity, (word.start, word.end), message, option.way_out)


def _named(words: Sequence[Word]) -> Iterator[tuple[_Option, Word, str]]:
    """Those of the words that are such an option, with its value."""
    for index, word in enumerate(words):
        name, has_value, value = word.text.lstrip("-").partition("=")
        if not word.text.startswith("--"):
            continue
        if not has_value and index + 1 < len(words):
            value = words[index + 1].text
        for option in _OPTIONS:
            if name.replace("-", "_") == option.name and _is_meant(option, value):
                yield option, word, value


def _is_meant(option: _Option, value: str) -> bool:
    if option.values:
        return re.fullmatch(option.values, value) is not None
    return value.lower() not in ("false", "no", "0")
