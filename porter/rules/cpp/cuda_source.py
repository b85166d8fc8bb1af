"""
# DP217 cuda-source: C++ that is written for CUDA

## What it does

Reports how many kernels a source in CUDA C++ holds, and which operators it registers with torch; once a file (error for
kernels, warning for calls of CUDA's libraries alone). The file is not ported.

## Why

`nvcc` compiles for NVIDIA devices only. What calls the operators needs another kernel for them, in the target's
language or in torch.

## Before

    __global__ void scale(float* x, float by) { x[threadIdx.x] *= by; }
    TORCH_LIBRARY(ops, m) { m.def("scale(Tensor x, float by) -> Tensor"); }

## What to write instead

    TORCH_LIBRARY_IMPL(ops, PrivateUse1, m) { m.impl("scale", scale_npu); }
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.findings import counted
from porter.rules.rule import Rule
from porter.text_unit import Lines, TextUnit
from porter.unit import Found

_KERNEL = re.compile(rb"__global__")
_REGISTERED = re.compile(rb"""\b(?:m|lib|ops|module)\s*\.\s*(?:def|impl)\s*\(\s*"(?P<name>[\w.:]+)""")
_CALLS = re.compile(rb"\b(?:cuda[A-Z]\w*|cublas\w+|cudnn\w+|nccl[A-Z]\w*|curand\w+)\s*\(|at::cuda\b|c10::cuda\b")

RULE = Rule(
    "DP217",
    "cuda-source",
    __doc__,
    words=("__global__", "cuda", "CUDA", "cuda_runtime", "nccl", "cublas_v2", "CUDAContext", "CUDAStream", "CUDAGuard"),
    fixes=False,
    language="cpp",
)


@RULE.on(Lines)
def report_the_source(source: Lines, unit: TextUnit[Lines]) -> Iterator[Found]:
    kernels = list(_KERNEL.finditer(source.data))
    calls = list(_CALLS.finditer(source.data))
    if not kernels and not calls:
        return
    names = sorted({match["name"].decode() for match in _REGISTERED.finditer(source.data)})
    registers = f"; it registers {', '.join(names[:6])}{' and more' if len(names) > 6 else ''}" if names else ""
    first = (kernels or calls)[0]
    if kernels:
        message, severity = f"this source holds {counted(len(kernels), 'kernel')} in CUDA C++{registers}", "error"
    else:
        count = counted(len(calls), "place")
        message, severity = f"this source calls CUDA's libraries in {count}{registers}", "warning"
    way_out = f"write them again for {unit.translation.new.title}, or do the computation in torch operators"
    yield unit.report(RULE.code, severity, first.span(), message, way_out)
