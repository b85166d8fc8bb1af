"""
# DP302 complex-numbers: complex tensors

## What it does

Reports where complex tensors are made: `torch.polar`, `torch.complex`, `torch.view_as_complex`, and the complex dtypes
where a tensor is made in one or turned into it. What the same call keeps on the CPU, and branches that the accelerator
does not take, are left alone. The report names the operators of the file that refuse the type on the hardware, or run
on its AI CPU, by the vendor's operator definitions.

## Why

Indexing a complex64 table of rotary embeddings raised "DT_COMPLEX64 unsupported" (huggingface/diffusers#12979,
vllm-project/vllm-omni#4911), and a complex128 product ran on the AI CPU, slowly
(modelscope/DiffSynth-Studio#1191).

## Before

    table = torch.polar(torch.ones_like(angles), angles)
    rotated = torch.view_as_complex(pairs) * table

## What to write instead

    cos, sin = angles.cos(), angles.sin()
    real, imaginary = pairs.unbind(-1)
    rotated = torch.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], -1)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.operator_types import sentence
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import is_dtype_of_a_tensor, is_off_the_accelerator, torch_names

_MAKERS = ("polar", "complex", "view_as_complex")
_DTYPES = ("complex32", "complex64", "complex128", "chalf", "cfloat", "cdouble")

_TYPES = {"complex32": "complex32", "chalf": "complex32", "complex128": "complex128", "cdouble": "complex128"}

RULE = Rule("DP302", "complex-numbers", __doc__, words=(*_MAKERS, *_DTYPES), fixes=False, targets=frozenset({"npu"}))


@RULE.on(ast.Attribute, ast.ImportFrom)
def report_the_complex_tensor(node: ast.AST, unit: Unit) -> Iterator[Found]:
    for place, name in torch_names(node, unit):
        what = name.removeprefix("torch.")
        is_type = what in _DTYPES and (isinstance(place, ast.alias) or is_dtype_of_a_tensor(place, unit.source))
        if (what in _MAKERS or is_type) and not is_off_the_accelerator(place, unit):
            yield _warning(place, what, unit)


@RULE.on(ast.Call)
def report_the_conversion(node: ast.Call, unit: Unit) -> Iterator[Found]:
    """`x.cfloat()`, `x.cdouble()`."""
    method = node.func
    converts = isinstance(method, ast.Attribute) and method.attr in ("chalf", "cfloat", "cdouble") and not node.args
    if isinstance(method, ast.Attribute) and converts and not is_off_the_accelerator(node, unit):
        yield _warning(node, method.attr, unit)


def _warning(node: ast.AST, what: str, unit: Unit) -> Found:
    type_name = _TYPES.get(what, "complex64")
    message = sentence(type_name, unit)
    return unit.report(RULE.code, "warning", node, message, "real tables of cosines and sines")
