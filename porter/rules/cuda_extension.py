"""
# DP204 cuda-extension: kernels written in CUDA C++

## What it does

Reports what compiles CUDA sources: `CUDAExtension`, `load_inline(cuda_sources=...)`, `load(sources=["x.cu"])`, a kernel
in a string (`__global__`); and `CUDA_HOME`, which is None without the toolkit (warning). Plain C++ extensions are left
alone.

## Why

`nvcc` compiles for NVIDIA devices only, and without it torch raises `OSError: CUDA_HOME environment variable is not
set` (documentation of torch.utils.cpp_extension). A kernel has to be written again, in the target's language or in
torch.

## Before

    from torch.utils.cpp_extension import load_inline
    module = load_inline("scale", cpp_sources=header, cuda_sources=kernel, functions=["scale"])

## What to write instead

    scale = torch.compile(lambda x, factor: x * factor)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import is_docstring, text_of, torch_names

_MODULE = "torch.utils.cpp_extension"
_KERNEL = "__global__"
_SWITCHES = frozenset({"cuda_sources", "extra_cuda_cflags", "with_cuda"})

RULE = Rule(
    "DP204",
    "cuda-extension",
    __doc__,
    words=("CUDAExtension", "CUDA_HOME", "cu", "cuh", _KERNEL, *sorted(_SWITCHES)),
    fixes=False,
)


@RULE.on(ast.Call)
def report_the_compilation(node: ast.Call, unit: Unit) -> Iterator[Found]:
    name = (unit.dotted(node.func) or "").removeprefix(f"{_MODULE}.")
    if name == "CUDAExtension" or (name in ("load", "load_inline") and _compiles_cuda(node)):
        yield _error(f"{name} compiles CUDA sources", node, unit)


@RULE.on(ast.Constant)
def report_the_kernel(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    if _KERNEL in text_of(node) and not is_docstring(node, unit.source):
        yield _error("this string holds a kernel in CUDA C++", node, unit)


@RULE.on(ast.Attribute, ast.ImportFrom)
def report_the_toolkit(node: ast.AST, unit: Unit) -> Iterator[Found]:
    for place, name in torch_names(node, unit):
        if name == f"{_MODULE}.CUDA_HOME":
            message = "CUDA_HOME is None where the CUDA toolkit is not installed"
            yield unit.report(RULE.code, "warning", place, message, "take out what is compiled with it")


def _error(message: str, node: ast.expr, unit: Unit) -> Found:
    kernels = unit.translation.new.tools.get("kernels")
    way_out = "the computation in torch operators" + (f", or {kernels}" if kernels else "")
    return unit.report(RULE.code, "error", node, message, way_out)


def _compiles_cuda(call: ast.Call) -> bool:
    texts = (text_of(part) for part in ast.walk(call))
    return any(keyword.arg in _SWITCHES and not _is_off(keyword.value) for keyword in call.keywords) or any(
        text.endswith((".cu", ".cuh")) for text in texts
    )


def _is_off(value: ast.expr) -> bool:
    """`with_cuda=False`, `cuda_sources=None`."""
    return isinstance(value, ast.Constant) and not value.value
