"""
# DP208 cuda-string: something of CUDA that a library is asked for by name

## What it does

Reports strings by which a library is asked for its part for CUDA: providers of onnxruntime, the backend `cudagraphs` of
`torch.compile` (warning), and keys that sort a profile by CUDA time (note).

## Why

onnxruntime without the provider falls back to the CPU or raises, and each device has a provider of its own (its
documentation of execution providers). The `cudagraphs` backend captures CUDA graphs and no others (documentation of
torch.compiler). torch reads `cuda_time_total` as `device_time_total` since 2.4; before that it sorted by zeros on any
other device (pytorch/pytorch#123247).

## Before

    session = InferenceSession(path, providers=["CUDAExecutionProvider"])
    print(profile.key_averages().table(sort_by="cuda_time_total"))

## What to write instead

    session = InferenceSession(path, providers=["CANNExecutionProvider"])
    print(profile.key_averages().table(sort_by="device_time_total"))
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from porter.places import place_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import is_docstring, text_of

_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
_GRAPHS = "cudagraphs"
_SORT_KEY = re.compile(r"((?:self_)?)cuda_(time(?:_total)?|memory_usage)")
_SORT_KEYS = tuple(f"{of}cuda_{what}" for of in ("", "self_") for what in ("time", "time_total", "memory_usage"))

RULE = Rule("DP208", "cuda-string", __doc__, words=(*_PROVIDERS, _GRAPHS, *_SORT_KEYS), fixes=False)


@RULE.on(ast.Constant)
def report_the_provider(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    if node.value in _PROVIDERS and not is_docstring(node, unit.source):
        provider = unit.translation.new.frameworks.get("onnxruntime", "CPUExecutionProvider")
        yield unit.report(RULE.code, "warning", node, f"{node.value} runs on NVIDIA devices only", provider)


@RULE.on(ast.Constant)
def report_the_compiler_backend(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    if node.value == _GRAPHS and place_of(node, unit.source).label == "backend":
        message = "torch.compile has this backend for CUDA graphs only"
        yield unit.report(RULE.code, "warning", node, message, "leave backend= out")


@RULE.on(ast.Constant)
def report_the_sort_key(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    key = _SORT_KEY.fullmatch(text_of(node))
    if key and place_of(node, unit.source).label == "sort_by":
        message = f'before torch 2.4, "{key[0]}" is zero on any other device'
        yield unit.report(RULE.code, "note", node, message, f'"{key[1]}device_{key[2]}"')
